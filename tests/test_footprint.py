"""Memory, processes and files that a run takes do not grow with its length.

`WorkerPool._handles` are the workers whose memory is measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import WriteEpisodes
from project import ROOT, processes_in

EPISODES = 40  # of 150 frames, 340 MB unpacked in the ten times larger set
PEAK_OF_AN_EPOCH = """
import sys
from pathlib import Path
from worldmodels.data.episodes import EpisodeFiles
from worldmodels.data.frame_batches import FrameBatches
files = EpisodeFiles(sys.argv[1])
batches = FrameBatches(files, range(len(files.episodes)), batch_size=64, seed=0)
frames = sum(len(batch) for batch in batches.epoch(0))
status = Path("/proc/self/status").read_text()
print(frames, status.partition("VmHWM:")[2].split()[0])
"""
GENERATIONS = """
import os, sys
from pathlib import Path
from worldmodels.models.agent_policy import policy_maker
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.evolution import evolve
from worldmodels.training.evolution_log import EvolutionLog
from worldmodels.models.memory import MDNRNN
from worldmodels.rollouts.local_engine import LocalEngine
from worldmodels.models.vae import VAE
import numpy as np

def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def main():
    rng = np.random.default_rng(0)
    VAE((32, 32), 4, rng=rng).save("models/vae.h5")
    MDNRNN(4, 8, 2, rng=rng).save("models/memory.h5")
    params = ControllerParams(
        environment="car_racing", inputs=("z", "h"), latent="mean", population=4, episodes=1,
        generations=int(sys.argv[1]), steps=10, sigma=0.1, max_sigma=0.2, patience=None,
        batch_size=4, first_seed=0, validation_every=50, validation_episodes=1,
        validation_first_seed=100_000, covariance="full", restart_every=None, weight_decay=0.0,
        finalist_episodes=0, track_pool=1,
    )
    policy = policy_maker("models", inputs=("z", "h"), latent="mean")
    sizes = (CarRacingTask(), policy)
    with LocalEngine(*sizes, image_shape=(32, 32), batch_size=4, workers=2) as engine:
        for _ in evolve(params, engine, starts=[np.zeros(39)], seed=0, log=EvolutionLog(None)):
            pids = [os.getpid(), *(handle.process.pid for handle in engine._pool._handles)]
            print(max(resident(pid) for pid in pids), flush=True)

if __name__ == "__main__":
    main()
"""


def peak_of_an_epoch(folder: Path) -> tuple[int, int]:
    """Frames read, and the peak memory of the process that read them, KiB."""
    command = [sys.executable, "-c", PEAK_OF_AN_EPOCH, str(folder)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    frames, peak = output.split()
    return int(frames), int(peak)


def test_a_ten_times_larger_set_takes_no_more_memory_to_train_on(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    for name, episodes in (("small", EPISODES), ("large", 10 * EPISODES)):
        write_episodes(tmp_path / name, [150] * episodes, image_shape=(32, 60))
    frames, peak = peak_of_an_epoch(tmp_path / "small")
    more_frames, more_peak = peak_of_an_epoch(tmp_path / "large")
    assert more_frames == pytest.approx(10 * frames, rel=0.02)
    assert more_peak < 1.1 * peak


@pytest.mark.slow
def test_200_generations_leave_no_memory_processes_or_files(tmp_path: Path) -> None:
    script = tmp_path / "generations.py"
    script.write_text(GENERATIONS)
    shared, temporary = Path("/dev/shm"), Path(tempfile.gettempdir())
    before = [set(folder.iterdir()) for folder in (shared, temporary)]
    ran = subprocess.Popen(
        [sys.executable, script, "200"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "SDL_VIDEODRIVER": "dummy"},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = ran.communicate()
    assert ran.returncode == 0
    resident = [int(line) / (1 << 20) for line in output.splitlines()]
    print("MiB of the largest process, every 20 generations:", [round(x) for x in resident[::20]])
    assert len(resident) == 201  # the start's validation too
    assert max(resident[100:]) < max(resident[:100]) + 4
    assert processes_in(tmp_path) == []
    assert [set(folder.iterdir()) for folder in (shared, temporary)] == before
