"""Films a dream: beside reality, on the same actions, and free, with C at the wheel.

Read `film_dreams`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worldmodels.dream.dreams import Dreams
from worldmodels.dream.dreamt_drive import real_drive
from worldmodels.dream.driving import Driver, controller_drives
from worldmodels.dream.starts import start_after
from worldmodels.inspection.pictures import frame_grid, write_png
from worldmodels.models.agent_process import Agent
from worldmodels.models.decoding import Decoder
from worldmodels.rollouts.film import Film

BEFORE = 100  # real steps before a dream: two seconds, in which the car gets going
STEPS = 250  # of it
TEMPERATURES = (0.5, 1.0, 1.3)  # of free dreams
BESIDE = 1.0  # temperature of the dream beside reality
PICTURES = 8  # moments in the strip
SIZE = (320, 240)  # pixels, width and height of a view
LABEL = 24  # pixels, the height of a line of text
SLOWLY = 2  # times that each frame is shown: half of CarRacing's speed

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Sight:
    """A view of the film: its title, and frames, (steps, height, width, 3) uint8."""

    title: str
    frames: Frames


def film_dreams(
    agent: Agent,
    bounds: NDArray[np.float32],
    *,
    track_seed: int,
    seed: int,
    film: str | Path,
    picture: str | Path,
) -> None:
    """Write a film and a strip of its moments.

    Args:
        agent: whose M dreams, and whose C drives.
        bounds: see `DreamStarts`.
        track_seed: of the track that it drives in reality.
        seed: of what is dreamt.
        film: an MP4. picture: a PNG.
    """
    sights = dreams_of(agent, bounds, track_seed=track_seed, seed=seed)
    recording = Film(film)
    for step in range(len(sights[0].frames)):
        drawn = _draw(sights, step)
        for _ in range(SLOWLY):
            recording.add(drawn)
    recording.close()
    moments = np.linspace(0, len(sights[0].frames) - 1, PICTURES).astype(int)
    write_png(picture, frame_grid([sight.frames[moments] for sight in sights], scale=2))


def dreams_of(
    agent: Agent, bounds: NDArray[np.float32], *, track_seed: int, seed: int
) -> list[Sight]:
    """What happened, what V makes of it, M's dream on the same actions, and dreams in which C
    drives on."""
    vae, memory, decode = agent.vae, agent.memory, Decoder(agent.vae).decode
    frames, actions = real_drive(agent, seed=track_seed, steps=BEFORE + STEPS)
    before = min(BEFORE, len(actions) // 2)  # half of a short episode
    mean, _ = vae.encode(frames)
    start = start_after(memory, mean[:before], actions[:before], mean[before], bounds)
    taken = iter(actions[before:])

    def as_in_reality(_: Dreams) -> NDArray[np.float32]:
        return next(taken)[None]

    free = controller_drives(memory, agent.controller)

    def dream(temperature: float, act: Driver) -> Frames:
        dreams = Dreams(memory, start, count=1, temperature=temperature)
        return _pixels(decode(_z_of(dreams, act, len(actions) - before, seed=seed)))

    return [
        Sight("reality", frames[before:-1]),
        Sight("as V sees it", _pixels(decode(mean[before:-1]))),
        Sight("dreamt, on the same actions", dream(BESIDE, as_in_reality)),
        *(Sight(f"dreamt, C drives, temperature {t:g}", dream(t, free)) for t in TEMPERATURES),
    ]


def _z_of(
    dreams: Dreams,
    act: Driver,
    steps: int,
    *,
    seed: int,
) -> NDArray[np.float32]:
    """(steps, latent_dim) of a dream."""
    rng = np.random.default_rng(seed)
    dreams.reset(0, rng)
    seen = []
    for _ in range(steps):
        seen.append(dreams.z[0].copy())
        dreams.step(act(dreams), rng)
    return np.stack(seen)


def _pixels(decoded: NDArray[np.float32]) -> Frames:
    return np.round(255.0 * decoded).astype(np.uint8)


def _draw(sights: Sequence[Sight], step: int) -> Frames:
    """All views of a step, three in a row."""
    rows = -(-len(sights) // 3)
    canvas = Image.new("RGB", (3 * SIZE[0], rows * (SIZE[1] + LABEL)), (250, 250, 250))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for (left, top), sight in zip(_places(rows), sights, strict=False):
        pen.text((left + 4, top + 4), sight.title, (30, 30, 30), font)
        large = cv2.resize(sight.frames[step], SIZE, interpolation=cv2.INTER_NEAREST)
        canvas.paste(Image.fromarray(large), (left, top + LABEL))
    return np.asarray(canvas)


def _places(rows: int) -> Iterator[tuple[int, int]]:
    """Left and top of each view."""
    for row in range(rows):
        for column in range(3):
            yield column * SIZE[0], row * (SIZE[1] + LABEL)
