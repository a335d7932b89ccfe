#!/bin/bash
# Not run here. For SLURM: `sbatch examples/slurm.sh`, from a clone that all nodes see, or one at the same path and commit on each; after `make cluster` there.
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=16G
set -euo pipefail
source .venv/bin/activate
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(openssl rand -hex 32)
head=$(hostname --ip-address | cut -d ' ' -f 1)
ray start --head --node-ip-address="$head" --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false
srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$(hostname)" \
    ray start --address="$head:6379" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
RAY_ADDRESS=$head:6379 dvc repro
ray stop
