"""One race of many, with the names that gym gives to what can be read of it. Read `RaceView`."""

from __future__ import annotations

from worldmodels.car_racing.world import Races


class Body:
    """A body of a car, with the names that Box2D gives its values.

    Args:
        races, race: which race of these. number: 0 the hull, 1 to 4 the wheels.
    """

    def __init__(self, races: Races, race: int, number: int) -> None:
        self._races, self._race, self._number = races, race, number

    @property
    def position(self) -> tuple[float, float]:
        """x and y."""
        x, y = self._races.cars["position"][self._race, self._number].tolist()
        return x, y

    @property
    def angle(self) -> float:
        """Radians."""
        return float(self._races.cars["angle"][self._race, self._number])

    @property
    def linearVelocity(self) -> tuple[float, float]:  # noqa: N802
        """x and y, units a second."""
        x, y, _ = self._races.cars["velocity"][self._race, self._number].tolist()
        return x, y

    @property
    def angularVelocity(self) -> float:  # noqa: N802
        """Radians a second."""
        return float(self._races.cars["velocity"][self._race, self._number, 2])


class Joint:
    """How far a wheel is steered."""

    def __init__(self, races: Races, race: int, number: int) -> None:
        self._races, self._race, self._number = races, race, number

    @property
    def angle(self) -> float:
        """Radians, positive to the left."""
        angles = self._races.cars["angle"][self._race]
        return float(angles[self._number] - angles[0])


class Wheel(Body):
    """A wheel, with gym's names."""

    def __init__(self, races: Races, race: int, number: int) -> None:
        super().__init__(races, race, number)
        self.joint = Joint(races, race, number)

    @property
    def omega(self) -> float:
        """Radians a second that it rolls."""
        return float(self._races.cars["omega"][self._race, self._number - 1])

    @property
    def phase(self) -> float:
        """Radians that it has rolled."""
        return float(self._races.cars["phase"][self._race, self._number - 1])


class Car:
    """A car, with gym's names: a hull and four wheels, as they are now."""

    def __init__(self, races: Races, race: int) -> None:
        self.hull = Body(races, race, 0)
        self.wheels = [Wheel(races, race, number) for number in range(1, 5)]


class RaceView:
    """What gym's CarRacing says of its race, for one of many."""

    def __init__(self, races: Races, race: int) -> None:
        self._races, self._race = races, race
        self.car = Car(races, race)

    @property
    def track(self) -> list[tuple[float, float, float, float]]:
        """gym's `track`: alpha, heading, x and y of each tile."""
        record = self._races.tracks[self._race]
        return [tuple(point) for point in record["line"][: record["tiles"]].tolist()]

    @property
    def tile_visited_count(self) -> int:
        """Tiles that a wheel has touched."""
        return int(self._races.races["visited_count"][self._race])

    @property
    def reward(self) -> float:
        """The sum of rewards, but for what leaving the field costs."""
        return float(self._races.races["reward"][self._race])

    @property
    def t(self) -> float:
        """Seconds since the start."""
        return float(self._races.races["seconds"][self._race])
