"""The environment: a fast CarRacing, and all that the system needs to know of it.

`simulator` is gym's CarRacing with the drawing replaced; `task` says how frames, actions, progress
and privileged values are had from it, and is the one place that another environment would have to
fill. Read `task` first.
"""
