"""A step of Box2D 2.3 for the five bodies of a car: `b2Island::Solve`, float32 for float32.

Nothing in CarRacing collides, so a car is an island of its own: hull, four wheels, four joints. 180
sweeps over the joints settle the velocities, up to 60 the positions. Read `solve`.
"""

import numpy as np

from worldmodels.car_racing.car_shape import HULL
from worldmodels.car_racing.car_state import BODIES, WHEELS
from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.joints import (
    JOINT,
    PI,
    STEP,
    WHEEL_MASS,
    ZERO,
    init_velocity,
    solve_position,
    solve_velocity,
)
from worldmodels.car_racing.trigonometry import sincos

F = np.float32
VELOCITY_SWEEPS, POSITION_SWEEPS = 180, 60
MAX_TRANSLATION, MAX_ROTATION = F(2.0), F(0.5) * PI  # in a step
SLEEP_SPEED, SLEEP_TURN = F(0.01), F(F(F(2.0) / F(180.0)) * PI)
TIME_TO_SLEEP = F(0.5)
CENTRE_X, CENTRE_Y = HULL.centre

# What a sweep reads and changes: velocities of the bodies, impulses of motors and limits.
SWEPT = 3 * BODIES + 2 * WHEELS
MOTORS = 3 * BODIES
LIMITS = MOTORS + WHEELS


@compiled
def solve(car):
    """Let the forces act for a step. Box2D goes over the joints from the last to the first."""
    joints = np.empty(WHEELS, JOINT)
    for wheel in range(WHEELS):
        for axis in range(2):
            car.velocity[wheel + 1, axis] += STEP * (WHEEL_MASS * car.force[wheel, axis])
    for wheel in range(WHEELS - 1, -1, -1):
        init_velocity(car, joints[wheel], wheel)
    _settle_velocities(car, joints)
    _move(car)
    solved = False
    car.sine[0], car.cosine[0] = sincos(car.angle[0])
    for _ in range(POSITION_SWEEPS):
        solved = True
        for wheel in range(WHEELS - 1, -1, -1):
            solved = solve_position(car, wheel) and solved
        if solved:
            break
    for body in range(BODIES):
        sine, cosine = sincos(car.angle[body])
        car.sine[body], car.cosine[body] = sine, cosine
        x, y = (CENTRE_X, CENTRE_Y) if body == 0 else (ZERO, ZERO)
        car.position[body, 0] = car.centre[body, 0] - (cosine * x - sine * y)
        car.position[body, 1] = car.centre[body, 1] - (sine * x + cosine * y)
    _rest(car, solved)


@compiled
def _settle_velocities(car, joints):
    """The 180 sweeps. Each is a function of what the one before left, so once that comes back to
    what it was one or two sweeps ago, to the bit, all that follow are known: velocities repeat
    themselves, and only the impulses at the anchors add up."""
    now = np.empty(SWEPT, F)
    last = np.zeros(SWEPT, F)
    before_last = np.zeros(SWEPT, F)
    impulses = np.empty((WHEELS, 2), F)  # of this sweep
    last_impulses = np.zeros((WHEELS, 2), F)
    for body in range(BODIES):
        for axis in range(3):
            now[3 * body + axis] = car.velocity[body, axis]
    for wheel in range(WHEELS):
        now[MOTORS + wheel] = car.motor_impulse[wheel]
        now[LIMITS + wheel] = car.limit_impulse[wheel]
    left = VELOCITY_SWEEPS
    while left > 0:
        left -= 1
        before_last[:] = last
        last[:] = now
        last_impulses[:] = impulses
        hull = (now[0], now[1], now[2])
        for wheel in range(WHEELS - 1, -1, -1):
            at = 3 * wheel + 3
            hull, moved, impulse, motor, limit = solve_velocity(
                joints[wheel],
                car.motor_speed[wheel],
                car.limit[wheel],
                hull,
                (now[at], now[at + 1], now[at + 2]),
                now[MOTORS + wheel],
                now[LIMITS + wheel],
            )
            now[at], now[at + 1], now[at + 2] = moved
            now[MOTORS + wheel], now[LIMITS + wheel] = motor, limit
            impulses[wheel, 0], impulses[wheel, 1] = impulse
            car.impulse[wheel, 0] += impulse[0]
            car.impulse[wheel, 1] += impulse[1]
        now[0], now[1], now[2] = hull
        if VELOCITY_SWEEPS - left > 2 and _same(now, last):
            _repeat(car, impulses, impulses, left)
            break
        if VELOCITY_SWEEPS - left > 2 and _same(now, before_last):
            _repeat(car, last_impulses, impulses, left)
            if left & 1:
                now[:] = last
            break
    for body in range(BODIES):
        for axis in range(3):
            car.velocity[body, axis] = now[3 * body + axis]
    for wheel in range(WHEELS):
        car.motor_impulse[wheel] = now[MOTORS + wheel]
        car.limit_impulse[wheel] = now[LIMITS + wheel]


@compiled
def _same(one, other):
    same = True
    for index in range(SWEPT):
        same &= one[index] == other[index]
    return same


@compiled
def _repeat(car, first, second, sweeps):
    """Add the impulses of so many sweeps, which are those of two in turn."""
    for sweep in range(sweeps):
        added = second if sweep & 1 else first
        for wheel in range(WHEELS):
            for axis in range(2):
                car.impulse[wheel, axis] += added[wheel, axis]


@compiled
def _move(car):
    """Move the bodies by their velocities, which Box2D bounds."""
    for body in range(BODIES):
        vx, vy, turn = car.velocity[body, 0], car.velocity[body, 1], car.velocity[body, 2]
        x, y = STEP * vx, STEP * vy
        if x * x + y * y > MAX_TRANSLATION * MAX_TRANSLATION:
            ratio = MAX_TRANSLATION / np.sqrt(x * x + y * y)
            vx *= ratio
            vy *= ratio
        rotation = STEP * turn
        if rotation * rotation > MAX_ROTATION * MAX_ROTATION:
            turn *= MAX_ROTATION / abs(rotation)
        car.velocity[body, 0], car.velocity[body, 1], car.velocity[body, 2] = vx, vy, turn
        car.centre[body, 0] += STEP * vx
        car.centre[body, 1] += STEP * vy
        car.angle[body] += STEP * turn


@compiled
def _rest(car, solved):
    """Stop a car that has hardly moved for half a second. gym wakes it at the next step."""
    asleep = True
    for body in range(BODIES):
        vx, vy, turn = car.velocity[body, 0], car.velocity[body, 1], car.velocity[body, 2]
        moves = vx * vx + vy * vy > SLEEP_SPEED * SLEEP_SPEED
        if moves or turn * turn > SLEEP_TURN * SLEEP_TURN:
            car.rest_time[body] = ZERO
        else:
            car.rest_time[body] += STEP
        asleep = asleep and car.rest_time[body] >= TIME_TO_SLEEP
    if asleep and solved:
        for body in range(BODIES):
            car.rest_time[body] = ZERO
            for axis in range(3):
                car.velocity[body, axis] = ZERO
