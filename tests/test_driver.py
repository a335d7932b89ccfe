"""The driver along the centre line: on the road at every speed, and the same drive each time."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodels.car_racing.task import CarRacingTask
from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH
from worldmodels.rollouts.driver import CentreLineDriver, DrivingParams, drive, driving_episodes
from worldmodels.rollouts.episode import Episode, Outcome, noise_seed
from worldmodels.rollouts.episode_batch import EpisodeBatch

PARAMS = DrivingParams(episodes=5, steps=40, speeds=(20.0, 65.0), first_seed=10)


@pytest.fixture(scope="module")
def batch() -> EpisodeBatch:
    return make_batch()


def make_batch() -> EpisodeBatch:
    return EpisodeBatch(CarRacingTask(), slots=1, image_shape=(32, 40))


def drive_on(
    batch: EpisodeBatch, track: int, *, speed: float, noise: int = 0, steps: int = 500
) -> Outcome:
    episode = Episode(track_seed=track, noise_seed=noise, steps=steps, record=True)
    return drive(batch, episode, speed=speed)


def column(outcome: Outcome, name: str) -> np.ndarray:
    return outcome.recorded.privileged[:, COLUMNS.index(name)]


# Measured on these tracks: every frame on the road; mean speeds of 20.0, 35.0, 47.5 and 56.0; mean
# returns of 147, 282, 388 and 456.
@pytest.mark.parametrize(
    ("speed", "on_road", "fastest", "episode_return"),
    [
        (20.0, 0.98, 19.0, 130.0),
        (35.0, 0.98, 33.0, 260.0),
        (50.0, 0.98, 44.0, 355.0),
        (65.0, 0.96, 51.0, 410.0),
    ],
)
def test_the_driver_stays_on_the_road(
    batch: EpisodeBatch, speed: float, on_road: float, fastest: float, episode_return: float
) -> None:
    outcomes = [drive_on(batch, track, speed=speed, noise=track) for track in range(4)]
    assert {(outcome.steps, outcome.reason) for outcome in outcomes} == {(500, "time_limit")}
    distances = np.concatenate([column(outcome, "road_distance") for outcome in outcomes])
    assert np.mean(np.abs(distances) < ROAD_HALF_WIDTH) > on_road
    angles = np.concatenate([column(outcome, "road_angle") for outcome in outcomes])
    assert np.abs(angles).max() < 1  # no spin
    speeds = np.concatenate([column(outcome, "speed")[100:] for outcome in outcomes])
    assert fastest < speeds.mean() < speed + 1
    assert np.mean([outcome.episode_return for outcome in outcomes]) > episode_return


def test_the_same_episode_gives_the_same_bits(batch: EpisodeBatch) -> None:
    first = drive_on(batch, 3, speed=50, steps=150)
    drive_on(batch, 4, speed=65, steps=20)  # another one between
    again = drive_on(batch, 3, speed=50, steps=150)
    elsewhere = drive_on(make_batch(), 3, speed=50, steps=150)
    for other in (again, elsewhere):
        for name in ("frames", "actions", "rewards", "privileged"):
            assert np.array_equal(getattr(other.recorded, name), getattr(first.recorded, name))


def test_each_noise_seed_has_its_line_beside_the_centre(batch: EpisodeBatch) -> None:
    means = [
        column(drive_on(batch, 3, speed=20, noise=noise, steps=200), "road_distance")[100:].mean()
        for noise in range(6)
    ]
    expected = [np.random.default_rng(noise).uniform(-0.5, 0.5) for noise in range(6)]
    assert means == pytest.approx(np.array(expected) * ROAD_HALF_WIDTH, abs=1.0)
    assert np.ptp(means) > 2


def act(**values: float) -> tuple[float, float, float]:
    """What a driver at 30 units a second does now; what is not named is 0."""
    privileged = np.array([values.get(name, 0.0) for name in COLUMNS], np.float32)
    action = CentreLineDriver(30.0, offset=0.0).act(privileged)
    assert action.shape == (3,)
    assert action.dtype == np.float32
    steering, gas, brake = action.tolist()
    return steering, gas, brake


def test_it_steers_back_to_the_line_and_into_the_curve() -> None:
    """gym's steering is negative to the left."""
    assert act(speed=30)[0] == 0
    assert act(speed=30, road_distance=2)[0] < 0 < act(speed=30, road_distance=-2)[0]
    assert act(speed=30, road_angle=-0.2)[0] < 0 < act(speed=30, road_angle=0.2)[0]
    assert act(speed=30, curvature_ahead=0.05)[0] < 0 < act(speed=30, curvature_ahead=-0.05)[0]
    assert act(speed=30, angular_velocity=-1)[0] < 0 < act(speed=30, angular_velocity=1)[0]
    assert act(road_distance=1000)[0] == -1


def test_it_slows_for_a_curve_either_way_and_never_brakes_on_gas() -> None:
    assert act(speed=10)[1] > 0
    assert act(speed=40)[2] > 0
    for curvature in (-0.09, 0.09):
        assert act(speed=29, curvature_ahead=curvature)[1] == 0
        assert act(speed=29, curvature_ahead=curvature)[2] > 0
    for speed in range(0, 101, 5):
        _, gas, brake = act(speed=speed)
        assert min(gas, brake) == 0
        assert gas <= np.float32(CentreLineDriver.MAX_GAS)
        assert brake <= np.float32(CentreLineDriver.MAX_BRAKE)


def test_episodes_take_the_speeds_in_turn() -> None:
    episodes = driving_episodes(PARAMS, seed=0)
    assert [speed for _, speed in episodes] == [20, 65, 20, 65, 20]
    assert [episode.track_seed for episode, _ in episodes] == list(PARAMS.seeds) == [*range(10, 15)]
    for episode, _ in episodes:
        assert (episode.steps, episode.record) == (40, True)
        assert episode.noise_seed == noise_seed(0, episode.track_seed)
