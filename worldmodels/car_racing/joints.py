"""The joints between the hull and its wheels: Box2D 2.3's `b2RevoluteJoint`, float32 for float32.

A joint holds a wheel's centre at its anchor on the hull, turns it by a motor to where it is
steered, and stops it at 0.4 radians to either side. The wheel's anchor is its centre, which spares
half of Box2D's terms; the order of what is left is Box2D's, on which last bits depend. Box2D's
licence is in `NOTICE.md`. Read `solve_velocity`.
"""

import numpy as np

from worldmodels.car_racing.car_shape import HULL, UNIT, WHEEL, WHEELS_AT
from worldmodels.car_racing.car_state import TIME_STEP
from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.trigonometry import sincos

F = np.float32
ZERO, ONE = F(0), F(1)
STEP = F(TIME_STEP)
HULL_MASS, WHEEL_MASS = HULL.inverse_mass, WHEEL.inverse_mass  # all four inverse
HULL_INERTIA, WHEEL_INERTIA = HULL.inverse_inertia, WHEEL.inverse_inertia
BOTH_INERTIA = HULL_INERTIA + WHEEL_INERTIA
MOTOR_MASS = ONE / BOTH_INERTIA
MAX_MOTOR_IMPULSE = STEP * F(180 * 900 * UNIT * UNIT)
LOWER, UPPER = F(-0.4), F(0.4)
ANCHOR_X = np.array([F(x * UNIT) - HULL.centre[0] for x, _ in WHEELS_AT], F)
ANCHOR_Y = np.array([F(y * UNIT) - HULL.centre[1] for _, y in WHEELS_AT], F)
PI = F(3.14159265359)
LINEAR_SLOP = F(0.005)
ANGULAR_SLOP = F(F(F(2.0) / F(180.0)) * PI)
MAX_ANGULAR_CORRECTION = F(F(F(8.0) / F(180.0)) * PI)

# A joint during a step: the arm from the hull's centre to the anchor, the effective mass matrix
# (symmetric, 3 x 3), and one over its determinants.
JOINT = np.dtype(
    [(name, F) for name in ("arm_x", "arm_y", "k11", "k12", "k13", "k22", "k23", "over2", "over3")]
)


@compiled
def init_velocity(car, joint, wheel):
    """InitVelocityConstraints: arm, masses, limit; and the warm start, by the last step's impulses,
    on the velocities of hull and wheel."""
    body = wheel + 1
    sine, cosine = car.sine[0], car.cosine[0]
    x = cosine * ANCHOR_X[wheel] - sine * ANCHOR_Y[wheel]
    y = sine * ANCHOR_X[wheel] + cosine * ANCHOR_Y[wheel]
    k11 = HULL_MASS + WHEEL_MASS + y * y * HULL_INERTIA
    k12 = -y * x * HULL_INERTIA
    k13 = -y * HULL_INERTIA
    k22 = HULL_MASS + WHEEL_MASS + x * x * HULL_INERTIA
    k23 = x * HULL_INERTIA
    over2 = k11 * k22 - k12 * k12
    over3 = (
        k11 * (k22 * BOTH_INERTIA - k23 * k23)
        + k12 * (k23 * k13 - k12 * BOTH_INERTIA)
        + k13 * (k12 * k23 - k22 * k13)
    )
    joint.arm_x, joint.arm_y = x, y
    joint.k11, joint.k12, joint.k13, joint.k22, joint.k23 = k11, k12, k13, k22, k23
    joint.over2 = ONE / over2 if over2 != ZERO else over2
    joint.over3 = ONE / over3 if over3 != ZERO else over3

    angle = car.angle[body] - car.angle[0]
    limit = np.int8(-1) if angle <= LOWER else (np.int8(1) if angle >= UPPER else np.int8(0))
    if limit == 0 or limit != car.limit[wheel]:
        car.limit_impulse[wheel] = ZERO
    car.limit[wheel] = limit
    ix, iy = car.impulse[wheel, 0], car.impulse[wheel, 1]
    turn = car.motor_impulse[wheel]
    car.velocity[0, 0] -= HULL_MASS * ix
    car.velocity[0, 1] -= HULL_MASS * iy
    car.velocity[0, 2] -= HULL_INERTIA * ((x * iy - y * ix) + turn + car.limit_impulse[wheel])
    car.velocity[body, 0] += WHEEL_MASS * ix
    car.velocity[body, 1] += WHEEL_MASS * iy
    car.velocity[body, 2] += WHEEL_INERTIA * (turn + car.limit_impulse[wheel])


@compiled
def solve_velocity(joint, motor_speed, limit, hull, wheel, motor_impulse, limit_impulse):
    """SolveVelocityConstraints: the motor first, then the limit and the anchor together.

    Args:
        joint: of `JOINT`. motor_speed, limit: of the car.
        hull, wheel: their velocities, three float32 each.
        motor_impulse, limit_impulse: so far in this step.

    Returns:
        the velocities after, the impulse at the anchor (x, y), the motor's and the limit's in all.
    """
    hull_x, hull_y, hull_turn = hull
    wheel_x, wheel_y, wheel_turn = wheel
    before = motor_impulse
    motor_impulse += -MOTOR_MASS * (wheel_turn - hull_turn - motor_speed)
    motor_impulse = min(motor_impulse, MAX_MOTOR_IMPULSE)
    motor_impulse = max(-MAX_MOTOR_IMPULSE, motor_impulse)
    hull_turn -= HULL_INERTIA * (motor_impulse - before)
    wheel_turn += WHEEL_INERTIA * (motor_impulse - before)

    arm_x, arm_y = joint.arm_x, joint.arm_y
    k11, k12, k22 = joint.k11, joint.k12, joint.k22
    off_x = wheel_x - hull_x - (-hull_turn * arm_y)
    off_y = wheel_y - hull_y - (hull_turn * arm_x)
    turn = ZERO
    if limit == 0:
        x = joint.over2 * (k22 * -off_x - k12 * -off_y)
        y = joint.over2 * (k11 * -off_y - k12 * -off_x)
    else:  # b2Mat33::Solve33, and Solve22 where the wheel comes off its limit
        k13, k23, over3 = joint.k13, joint.k23, joint.over3
        off = wheel_turn - hull_turn
        x = -over3 * (
            off_x * (k22 * BOTH_INERTIA - k23 * k23)
            + off_y * (k23 * k13 - k12 * BOTH_INERTIA)
            + off * (k12 * k23 - k22 * k13)
        )
        b1 = off_y * BOTH_INERTIA - off * k23
        b2 = off * k13 - off_x * BOTH_INERTIA
        b3 = off_x * k23 - off_y * k13
        y = -over3 * (k11 * b1 + k12 * b2 + k13 * b3)
        d1 = k22 * off - k23 * off_y
        d2 = k23 * off_x - k12 * off
        d3 = k12 * off_y - k22 * off_x
        turn = -over3 * (k11 * d1 + k12 * d2 + k13 * d3)
        total = limit_impulse + turn
        if (limit < 0 and total < ZERO) or (limit > 0 and total > ZERO):
            rest_x = -off_x + limit_impulse * k13
            rest_y = -off_y + limit_impulse * k23
            x = joint.over2 * (k22 * rest_x - k12 * rest_y)
            y = joint.over2 * (k11 * rest_y - k12 * rest_x)
            turn = -limit_impulse
            total = ZERO
        limit_impulse = total
    hull_x -= HULL_MASS * x
    hull_y -= HULL_MASS * y
    hull_turn -= HULL_INERTIA * ((arm_x * y - arm_y * x) + turn)
    wheel_x += WHEEL_MASS * x
    wheel_y += WHEEL_MASS * y
    wheel_turn += WHEEL_INERTIA * turn
    return (
        (hull_x, hull_y, hull_turn),
        (wheel_x, wheel_y, wheel_turn),
        (x, y),
        motor_impulse,
        limit_impulse,
    )


@compiled
def solve_position(car, wheel):
    """SolvePositionConstraints: move hull and wheel until the limit and the anchor are right; True
    if they were, within Box2D's tolerance."""
    body = wheel + 1
    error = ZERO
    limit = car.limit[wheel]
    if limit != 0:
        angle = car.angle[body] - car.angle[0]
        if limit < 0:
            off = angle - LOWER
            error = -off
            off = max(-MAX_ANGULAR_CORRECTION, min(off + ANGULAR_SLOP, ZERO))
        else:
            off = angle - UPPER
            error = off
            off = max(ZERO, min(off - ANGULAR_SLOP, MAX_ANGULAR_CORRECTION))
        impulse = -MOTOR_MASS * off
        car.angle[0] -= HULL_INERTIA * impulse
        car.angle[body] += WHEEL_INERTIA * impulse
        car.sine[0], car.cosine[0] = sincos(car.angle[0])
    sine, cosine = car.sine[0], car.cosine[0]
    x = cosine * ANCHOR_X[wheel] - sine * ANCHOR_Y[wheel]
    y = sine * ANCHOR_X[wheel] + cosine * ANCHOR_Y[wheel]
    off_x = car.centre[body, 0] - car.centre[0, 0] - x
    off_y = car.centre[body, 1] - car.centre[0, 1] - y
    k11 = HULL_MASS + WHEEL_MASS + HULL_INERTIA * y * y
    k12 = -HULL_INERTIA * x * y
    k22 = HULL_MASS + WHEEL_MASS + HULL_INERTIA * x * x
    over = k11 * k22 - k12 * k12
    if over != ZERO:
        over = ONE / over
    impulse_x = -(over * (k22 * off_x - k12 * off_y))
    impulse_y = -(over * (k11 * off_y - k12 * off_x))
    car.centre[0, 0] -= HULL_MASS * impulse_x
    car.centre[0, 1] -= HULL_MASS * impulse_y
    before = car.angle[0]
    car.angle[0] -= HULL_INERTIA * (x * impulse_y - y * impulse_x)
    if car.angle[0] != before:
        car.sine[0], car.cosine[0] = sincos(car.angle[0])
    car.centre[body, 0] += WHEEL_MASS * impulse_x
    car.centre[body, 1] += WHEEL_MASS * impulse_y
    return np.sqrt(off_x * off_x + off_y * off_y) <= LINEAR_SLOP and error <= ANGULAR_SLOP
