"""The pipeline around the work: parameters of all groups, rounds, how a stage runs and resumes.

Read `stage_run` for how a stage runs, `checkpoints` for which run finds which checkpoint, `rounds`
for where a round is defined.
"""
