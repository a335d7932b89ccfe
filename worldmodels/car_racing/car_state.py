"""A car as a record of numbers, and what moves it but Box2D: gym's `car_dynamics.Car.step`.

All that a car is lies in one record of `CAR`, so that many cars are one array, and compiled code
steps them without Python. float32 is what Box2D keeps, float64 what gym keeps in Python. Read
`CAR`, then `drive`.
"""

import math

import numpy as np

from worldmodels.car_racing.car_shape import HULL, UNIT, WHEELS_AT
from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.trigonometry import sincos

F = np.float32
BODIES = 5  # the hull, then the wheels
WHEELS = 4

CAR = np.dtype(
    [
        # Bodies, as b2Body has them.
        ("position", F, (BODIES, 2)),  # of the body's origin
        ("centre", F, (BODIES, 2)),  # of its mass
        ("angle", F, BODIES),
        ("sine", F, BODIES),
        ("cosine", F, BODIES),
        ("velocity", F, (BODIES, 3)),  # x, y, angle
        ("rest_time", F, BODIES),  # seconds that it has hardly moved
        ("force", F, (WHEELS, 2)),
        # Joints of the wheels, as b2RevoluteJoint has them.
        ("impulse", F, (WHEELS, 2)),
        ("motor_impulse", F, WHEELS),
        ("limit_impulse", F, WHEELS),
        ("limit", np.int8, WHEELS),  # -1 at the lower one, 1 at the upper one, 0 between
        ("motor_speed", F, WHEELS),
        # What gym keeps of the wheels.
        ("steer", np.float64, WHEELS),
        ("gas", np.float64, WHEELS),
        ("brake", np.float64, WHEELS),
        ("phase", np.float64, WHEELS),
        ("omega", np.float64, WHEELS),
        ("on_road", np.uint8, WHEELS),
    ],
    align=True,
)

# gym's constants, computed in Python's own order.
TIME_STEP = 1.0 / 50
ENGINE_POWER = 100000000 * UNIT * UNIT
WHEEL_INERTIA = 4000 * UNIT * UNIT
FRICTION_LIMIT = 1000000 * UNIT * UNIT
GRASS_FRICTION_LIMIT = FRICTION_LIMIT * 0.6
WHEEL_RADIUS = 1.0 * 27 * UNIT
SLIP_FORCE = 205000 * UNIT * UNIT  # a unit a second of slip
BRAKE_FORCE = 15
POWER_STEP = TIME_STEP * ENGINE_POWER

WHEEL_X = np.array([x for x, _ in WHEELS_AT], np.float64)
WHEEL_Y = np.array([y for _, y in WHEELS_AT], np.float64)
CENTRE_X, CENTRE_Y = HULL.centre
ZERO = F(0)


@compiled
def place(car, angle, x, y):
    """A new car at rest: gym's `Car.__init__`. The wheels stand where the hull's angle is 0, as
    gym puts them; the joints draw them to their places in the first step."""
    for body in range(BODIES):
        car.angle[body] = F(angle)
        sine, cosine = sincos(F(angle))
        car.sine[body], car.cosine[body] = sine, cosine
        if body == 0:
            px, py = F(x), F(y)
            car.centre[body, 0] = (cosine * CENTRE_X - sine * CENTRE_Y) + px
            car.centre[body, 1] = (sine * CENTRE_X + cosine * CENTRE_Y) + py
        else:
            px = F(x + WHEEL_X[body - 1] * UNIT)
            py = F(y + WHEEL_Y[body - 1] * UNIT)
            car.centre[body, 0], car.centre[body, 1] = px, py
        car.position[body, 0], car.position[body, 1] = px, py
        car.rest_time[body] = ZERO
        for axis in range(3):
            car.velocity[body, axis] = ZERO
    for wheel in range(WHEELS):
        for axis in range(2):
            car.force[wheel, axis] = ZERO
            car.impulse[wheel, axis] = ZERO
        car.motor_impulse[wheel] = car.limit_impulse[wheel] = car.motor_speed[wheel] = ZERO
        car.limit[wheel] = 0
        car.steer[wheel] = car.gas[wheel] = car.brake[wheel] = 0.0
        car.phase[wheel] = car.omega[wheel] = 0.0
        car.on_road[wheel] = False


@compiled
def control(car, steering, gas, brake):
    """Take an action: gym's `Car.steer`, `gas` and `brake`. Steering is positive to the right."""
    gas = min(max(gas, 0.0), 1.0)
    for wheel in range(WHEELS):
        car.brake[wheel] = brake
        if wheel < 2:
            car.steer[wheel] = -steering
        else:
            car.gas[wheel] += min(gas - car.gas[wheel], 0.1)


@compiled
def drive(car):
    """gym's `Car.step`: motors turn the wheels to where they are steered, and the road or the
    grass that each wheel touched at the last step pushes it."""
    for wheel in range(WHEELS):
        body = wheel + 1
        off = car.steer[wheel] - np.float64(car.angle[body] - car.angle[0])
        car.motor_speed[wheel] = F(_sign(off) * min(50.0 * abs(off), 3.0))
        limit = FRICTION_LIMIT if car.on_road[wheel] else GRASS_FRICTION_LIMIT
        # The wheel's own axes in the world: forward is (0, 1), its side (1, 0).
        forward_x, forward_y = np.float64(-car.sine[body]), np.float64(car.cosine[body])
        side_x, side_y = forward_y, -forward_x
        vx, vy = np.float64(car.velocity[body, 0]), np.float64(car.velocity[body, 1])
        forward_speed = forward_x * vx + forward_y * vy
        side_speed = side_x * vx + side_y * vy
        omega = car.omega[wheel]
        omega += POWER_STEP * car.gas[wheel] / WHEEL_INERTIA / (abs(omega) + 5.0)
        brake = car.brake[wheel]
        if brake >= 0.9:
            omega = 0.0
        elif brake > 0:
            omega -= _sign(omega) * min(BRAKE_FORCE * brake, abs(omega))
        car.phase[wheel] += omega * TIME_STEP
        forward_force = (-forward_speed + omega * WHEEL_RADIUS) * SLIP_FORCE
        side_force = -side_speed * SLIP_FORCE
        force = math.sqrt(forward_force * forward_force + side_force * side_force)
        if force > limit:
            forward_force = forward_force / force * limit
            side_force = side_force / force * limit
        car.omega[wheel] = omega - TIME_STEP * forward_force * WHEEL_RADIUS / WHEEL_INERTIA
        car.force[wheel, 0] = F(side_force * side_x + forward_force * forward_x)
        car.force[wheel, 1] = F(side_force * side_y + forward_force * forward_y)


@compiled
def _sign(x):
    return 1.0 if x > 0 else (-1.0 if x < 0 else 0.0)
