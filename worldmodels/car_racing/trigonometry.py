"""Sine and cosine of a float32 as the GNU C library computes them, whatever machine this runs on.

Box2D calls `sinf` and `cosf` for the rotation of every body at every step, so a last bit of theirs
that differs is a drive that differs. This follows glibc 2.28 and later
(`sysdeps/ieee754/flt-32/s_sincosf.h`): reduction by multiples of pi / 2 and polynomials, in double
precision. Read `sincos`.
"""

import numpy as np

from worldmodels.car_racing.compiled import compiled

F = np.float32
U = np.uint64
INVERSE_HALF_PI = float.fromhex("0x1.45F306DC9C883p+23")  # 2 / pi, times 2**24
HALF_PI = float.fromhex("0x1.921FB54442D18p0")
# With a fused multiply-add, x - n * pi / 2 is rounded once. In two parts that multiply exactly,
# plain arithmetic rounds it once as well.
HALF_PI_HIGH = float((np.float64(HALF_PI).view(U) & U(0xFFFFFFFFFF000000)).view(np.float64))
HALF_PI_LOW = HALF_PI - HALF_PI_HIGH
COSINE = tuple(
    map(
        float.fromhex,
        (
            "-0x1.ffffffd0c621cp-2",
            "0x1.55553e1068f19p-5",
            "-0x1.6c087e89a359dp-10",
            "0x1.99343027bf8c3p-16",
        ),
    )
)
SINE = tuple(
    map(
        float.fromhex,
        ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13"),
    )
)
PI_2_63 = float.fromhex("0x1.921FB54442D18p-62")
INVERSE_PI = np.array(  # bits of 4 / pi, each entry eight bits further than the one before
    [
        *(0xA2, 0xA2F9, 0xA2F983, 0xA2F9836E, 0xF9836E4E, 0x836E4E44, 0x6E4E4415, 0x4E441529),
        *(0x441529FC, 0x1529FC27, 0x29FC2757, 0xFC2757D1, 0x2757D1F5, 0x57D1F534, 0xD1F534DD),
        *(0xF534DDC0, 0x34DDC0DB, 0xDDC0DB62, 0xC0DB6295, 0xDB629599, 0x6295993C, 0x95993C43),
        *(0x993C4390, 0x3C439041),
    ],
    U,
)
TINY = F(2.0**-12)
SMALL = F(0.75)  # below pi / 4 by glibc's comparison of twelve bits
LARGE = F(120.0)


@compiled
def sincos(angle):
    """The sine and the cosine of a float32, both float32."""
    x = np.float64(angle)
    size = abs(angle)
    quadrant = np.int64(0)
    if size < TINY:
        return angle, F(1.0)
    if size >= LARGE:
        x, quadrant = _reduce_large(angle)
    elif size >= SMALL:
        quadrant = (np.int64(x * INVERSE_HALF_PI) + 0x800000) >> 24
        x = (x - np.float64(quadrant) * HALF_PI_HIGH) - np.float64(quadrant) * HALF_PI_LOW
    turned = quadrant + 1 if size >= LARGE and angle < F(0) else quadrant
    x2 = x * x
    if (turned + 1) & 2:
        x = -x
    x4 = x2 * x2
    x3 = x2 * x
    sine = (x + x3 * SINE[0]) + (x3 * x2) * (SINE[1] + x2 * SINE[2])
    cosine = ((1.0 + x2 * COSINE[0]) + x4 * COSINE[1]) + (x4 * x2) * (COSINE[2] + x2 * COSINE[3])
    if turned & 2:
        cosine = -cosine
    if quadrant & 1:
        return F(cosine), F(sine)
    return F(sine), F(cosine)


@compiled
def _reduce_large(angle):
    """glibc's `reduce_large`: the rest of |angle| over pi / 2, and how often that goes into it."""
    exponent = 150
    mantissa = abs(np.float64(angle))
    while mantissa >= 16777216.0:
        mantissa *= 0.5
        exponent += 1
    while mantissa < 8388608.0:
        mantissa *= 2.0
        exponent -= 1
    at = (exponent >> 3) & 15
    x = (U(np.int64(mantissa)) << U(exponent & 7)) & U(0xFFFFFFFF)
    high = (x * INVERSE_PI[at]) & U(0xFFFFFFFF)
    low = x * INVERSE_PI[at + 8]
    rest = ((low >> U(32)) | (high << U(32))) + x * INVERSE_PI[at + 4]
    quadrant = (rest + (U(1) << U(61))) >> U(62)
    rest = rest - (quadrant << U(62))
    return np.float64(np.int64(rest)) * PI_2_63, np.int64(quadrant)
