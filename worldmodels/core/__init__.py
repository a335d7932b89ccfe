"""What every other package stands on: errors, files that are written whole, parameters, progress.

Nothing here knows of cars or models. Read `errors` first, `params` for how params.yaml becomes what
a stage works with, `checkpoint` for how long work survives being stopped.
"""
