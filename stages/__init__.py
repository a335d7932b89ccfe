"""The stages of dvc.yaml, one file each; run one with `python -m stages.<name>`."""
