"""Whether a tile of the road and a polygon of the car touch: Box2D 2.3's `b2TestOverlap`.

That is GJK, `b2Distance`, between convex polygons with a skin of 0.01 each: it walks over triangles
of differences of corners towards the origin. The order of its comparisons and sums decides what it
says near a border, so they are Box2D's. Most questions are far from one and get `surely`'s quick
answer instead. Read `overlaps`.
"""

import numpy as np

from worldmodels.car_racing.compiled import compiled

F = np.float32
ZERO, ONE = F(0), F(1)
EPSILON = F(np.finfo(F).eps)
SKIN = F(2.0) * F(0.005)
SKINS = SKIN + SKIN
TOUCHING = F(10.0) * EPSILON
MAX_ITERATIONS = 20
MARGIN = F(2e-3)  # in which `surely` is not sure

# A corner of the simplex: a corner of the tile, one of the polygon, their difference, its weight,
# and which corners they are.
VERTEX = np.dtype(
    [
        *((name, F) for name in ("tile_x", "tile_y", "x", "y", "off_x", "off_y", "weight")),
        ("tile_corner", np.int64),
        ("corner", np.int64),
    ]
)


@compiled
def overlaps(tile, tile_corners, polygon, corners, x, y, sine, cosine):
    """Do they touch?

    Args:
        tile: (4, 2) float32, in the world, of which `tile_corners` are its own.
        polygon: (corners, 2) float32, around its body's origin, of which `corners` are its own.
        x, y, sine, cosine: where the body is, and how it is turned.
    """
    simplex = np.empty(3, VERTEX)
    before = np.empty((3, 2), np.int64)
    _support(simplex[0], tile, 0, polygon, 0, x, y, sine, cosine)
    simplex[0].weight = ONE
    count = 1
    for _ in range(MAX_ITERATIONS):
        known = count
        for index in range(count):
            before[index, 0] = simplex[index].tile_corner
            before[index, 1] = simplex[index].corner
        if count == 2:
            count = _solve_line(simplex)
        elif count == 3:
            count = _solve_triangle(simplex)
        if count == 3:
            return True  # the origin is inside
        towards_x, towards_y = _direction(simplex, count)
        if towards_x * towards_x + towards_y * towards_y < EPSILON * EPSILON:
            break
        tile_corner = _furthest(tile, tile_corners, -towards_x, -towards_y)
        local_x = cosine * towards_x + sine * towards_y
        local_y = -sine * towards_x + cosine * towards_y
        corner = _furthest(polygon, corners, local_x, local_y)
        _support(simplex[count], tile, tile_corner, polygon, corner, x, y, sine, cosine)
        again = False
        for index in range(known):
            again |= before[index, 0] == tile_corner and before[index, 1] == corner
        if again:
            break
        count += 1
    return _distance(simplex, count) - SKINS < TOUCHING


@compiled
def _support(vertex, tile, tile_corner, polygon, corner, x, y, sine, cosine):
    px, py = polygon[corner, 0], polygon[corner, 1]
    vertex.tile_x, vertex.tile_y = tile[tile_corner, 0], tile[tile_corner, 1]
    vertex.x, vertex.y = (cosine * px - sine * py) + x, (sine * px + cosine * py) + y
    vertex.off_x, vertex.off_y = vertex.x - vertex.tile_x, vertex.y - vertex.tile_y
    vertex.weight = ZERO
    vertex.tile_corner, vertex.corner = tile_corner, corner


@compiled
def _furthest(polygon, corners, towards_x, towards_y):
    """b2DistanceProxy::GetSupport."""
    best = 0
    furthest = polygon[0, 0] * towards_x + polygon[0, 1] * towards_y
    for corner in range(1, corners):
        reach = polygon[corner, 0] * towards_x + polygon[corner, 1] * towards_y
        if reach > furthest:
            best, furthest = corner, reach
    return best


@compiled
def _solve_line(simplex):
    """b2Simplex::Solve2: weights of the point nearest to the origin; how many corners it needs."""
    x1, y1, x2, y2 = simplex[0].off_x, simplex[0].off_y, simplex[1].off_x, simplex[1].off_y
    x, y = x2 - x1, y2 - y1
    second = -(x1 * x + y1 * y)
    if second <= ZERO:
        simplex[0].weight = ONE
        return 1
    first = x2 * x + y2 * y
    if first <= ZERO:
        simplex[1].weight = ONE
        simplex[0] = simplex[1]
        return 1
    over = ONE / (first + second)
    simplex[0].weight = first * over
    simplex[1].weight = second * over
    return 2


@compiled
def _solve_triangle(simplex):
    """b2Simplex::Solve3. Where it needs all three, the origin lies in the triangle."""
    x1, y1 = simplex[0].off_x, simplex[0].off_y
    x2, y2 = simplex[1].off_x, simplex[1].off_y
    x3, y3 = simplex[2].off_x, simplex[2].off_y
    x12, y12 = x2 - x1, y2 - y1
    x13, y13 = x3 - x1, y3 - y1
    x23, y23 = x3 - x2, y3 - y2
    d12_1, d12_2 = x2 * x12 + y2 * y12, -(x1 * x12 + y1 * y12)
    d13_1, d13_2 = x3 * x13 + y3 * y13, -(x1 * x13 + y1 * y13)
    d23_1, d23_2 = x3 * x23 + y3 * y23, -(x2 * x23 + y2 * y23)
    area = x12 * y13 - y12 * x13
    d123_1 = area * (x2 * y3 - y2 * x3)
    d123_2 = area * (x3 * y1 - y3 * x1)
    d123_3 = area * (x1 * y2 - y1 * x2)
    if d12_2 <= ZERO and d13_2 <= ZERO:
        simplex[0].weight = ONE
        return 1
    if d12_1 > ZERO and d12_2 > ZERO and d123_3 <= ZERO:
        over = ONE / (d12_1 + d12_2)
        simplex[0].weight, simplex[1].weight = d12_1 * over, d12_2 * over
        return 2
    if d13_1 > ZERO and d13_2 > ZERO and d123_2 <= ZERO:
        over = ONE / (d13_1 + d13_2)
        simplex[0].weight, simplex[2].weight = d13_1 * over, d13_2 * over
        simplex[1] = simplex[2]
        return 2
    if d12_1 <= ZERO and d23_2 <= ZERO:
        simplex[1].weight = ONE
        simplex[0] = simplex[1]
        return 1
    if d13_1 <= ZERO and d23_1 <= ZERO:
        simplex[2].weight = ONE
        simplex[0] = simplex[2]
        return 1
    if d23_1 > ZERO and d23_2 > ZERO and d123_1 <= ZERO:
        over = ONE / (d23_1 + d23_2)
        simplex[1].weight, simplex[2].weight = d23_1 * over, d23_2 * over
        simplex[0] = simplex[2]
        return 2
    return 3


@compiled
def _direction(simplex, count):
    """b2Simplex::GetSearchDirection: from the simplex towards the origin."""
    x1, y1 = simplex[0].off_x, simplex[0].off_y
    if count == 1:
        return -x1, -y1
    x, y = simplex[1].off_x - x1, simplex[1].off_y - y1
    if x * -y1 - y * -x1 > ZERO:
        return -y, x
    return y, -x


@compiled
def _distance(simplex, count):
    """How far the simplex is from the origin."""
    first = simplex[0]
    if count == 1:
        x, y = first.tile_x - first.x, first.tile_y - first.y
    else:
        second = simplex[1]
        p, q = first.weight, second.weight
        x = (p * first.tile_x + q * second.tile_x) - (p * first.x + q * second.x)
        y = (p * first.tile_y + q * second.tile_y) - (p * first.y + q * second.y)
    return np.sqrt(x * x + y * y)


@compiled
def surely(sides, half_width, half_length, x, y, sine, cosine):
    """A quick answer for a box: 1 it touches the tile, 0 it does not, -1 ask `overlaps`.

    Args:
        sides: (4, 3) float32, of the tile's sides: the normal outwards, and its offset.
        half_width, half_length: of the box. x, y, sine, cosine: where it is, and how turned.
    """
    nearest = outermost = front = rear = F(-1e9)
    for side in range(4):
        nx, ny = sides[side, 0], sides[side, 1]
        off = nx * x + ny * y - sides[side, 2]
        across = (nx * cosine + ny * sine) * half_width
        along = (ny * cosine - nx * sine) * half_length
        outermost = max(outermost, off - abs(across) - abs(along))
        nearest = max(nearest, off)
        front = max(front, off + along)
        rear = max(rear, off - along)
    if outermost > SKINS + MARGIN:
        return 0  # all of it lies outside of one side
    if nearest < -MARGIN or front < -MARGIN or rear < -MARGIN:
        return 1  # its middle or an end lies inside of all
    return -1
