"""The environment: CarRacing compiled, and all that the system needs to know of it.

`race` is a race step by step, over `car_state` (gym's forces), `island` (Box2D's solver), `overlap`
(what touches what) and `track`; `picture`, `car_picture` and `indicator_bar` draw it; `world` does
many at once, and `environment` is gym's and gymnasium's class. `task` says how frames, actions,
progress and privileged values are had from it, by `compiled_batch` or, of stock gym, `gym_batch`,
and is the one place that another environment would have to fill; `disturbed_task` has the
`disturbances` of it. Read `task` first, then `race`.
"""
