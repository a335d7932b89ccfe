"""Watch a trained agent drive, in a window or a film: `python -m worldmodels.watch`.

Beside gym's own picture stand the frame that the agent sees, what V makes of it, where M expects
it to be, and the action as bars. With `--follow` it is the mean of the evolution that runs beside,
as it stands at the start of each episode. With `--dream` M dreams on after a second, and C drives
there, or with `--keyboard` whoever watches. Read `drive` first.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.core.arguments import integer, number
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write, require_writable
from worldmodels.core.params import MAX_SEED, load_group
from worldmodels.core.progress import Progress
from worldmodels.models.agent_process import Agent
from worldmodels.models.controller import LinearController
from worldmodels.rollouts.film import FRAMES_PER_SECOND, Film
from worldmodels.running_evolution import evolution_to_follow, running_evolution
from worldmodels.training.evaluation import EvaluationParams

if TYPE_CHECKING:
    from worldmodels.dream.dreams import Dreams
    from worldmodels.dream.dreamt_drive import DreamtMoment

Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont

STEPS = 1000  # CarRacing's own limit
DREAM_WIDTH = 640  # pixels, of a dream
MAX_TEMPERATURE = 10.0  # of a dream
BRAKE = 0.8  # of the key, as in gym's own game
COLUMN = 200  # pixels, the width of what V and M see
LABEL = 20  # pixels, the height of a line of text
GAP = 8  # pixels
PAPER, INK, FAINT = (250, 250, 250), (30, 30, 30), (215, 215, 215)
BAR_COLOURS = {"steering": (40, 90, 200), "gas": (30, 140, 60), "brake": (200, 50, 40)}
EVERY = 4  # frames, of which an animated picture shows one
ANIMATED = ".webp"
FILMS = (".mp4", ANIMATED)
QUALITY = 70  # of an animated picture, of 100
NO_DISPLAY = ("offscreen", "dummy")  # what SDL draws to where it finds none


@dataclass(frozen=True)
class Moment:
    """One step of a drive.

    picture: gym's own, (400, 600, 3). seen: the frame as V gets it; reconstruction: what V makes of
    it; expected: what M predicted it to be a step before, decoded, None in the first step; each
    (height, width, 3). All uint8.
    action: steering, gas and brake. episode_return: the rewards so far.
    """

    picture: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    expected: NDArray[np.uint8] | None
    action: NDArray[np.float32]
    episode_return: float


def drive(agent: Agent, *, seed: int, steps: int = STEPS) -> Iterator[Moment]:
    """Drive one episode on the track of this seed."""
    env = FastCarRacing(render_mode="rgb_array")
    frame, _ = env.reset(seed=seed)
    agent.reset(seed=seed)
    total, expected = 0.0, None
    for _ in range(steps):
        action = agent.act(frame)
        seen, reconstruction, predicted = (part[0] for part in agent.view())
        yield Moment(env.render(), seen, reconstruction, expected, action, total)
        expected = predicted
        frame, reward, terminated, truncated, _ = env.step(action.astype(np.float64))
        total += float(reward)
        if terminated or truncated:
            return


def follow(*, seed: int, steps: int = STEPS) -> Iterator[Moment]:
    """Drive with the mean of the newest evolution in this clone, one episode after the other, each
    on the next track and with what the mean is by then, for as long as there is one.

    Raises:
        WorldModelsError: no evolution has ended a generation yet.
    """
    agent: Agent | None = None
    search: Path | None = None
    for track in count(seed):
        evolution = evolution_to_follow() if track == seed else running_evolution()
        if evolution is None:
            return  # it has ended, and its result is in models/
        if agent and evolution.mean.parent == search:
            agent.controller = LinearController.load(evolution.mean)
        else:  # another evolution, with a V and M of its own
            agent = Agent.load(evolution.models, controller=evolution.mean)
            search = evolution.mean.parent
        yield from drive(agent, seed=track, steps=steps)


def draw(moment: Moment) -> NDArray[np.uint8]:
    """A moment as one picture, (height, width, 3) uint8, with even sides."""
    height, width, _ = moment.picture.shape
    views = {
        "the agent sees": moment.seen,
        "V: what it makes of that": moment.reconstruction,
        "M: what it had expected": moment.expected,
    }
    side = COLUMN * moment.seen.shape[0] // moment.seen.shape[1]  # pixels, height of a view
    bars = 3 * LABEL + GAP
    below = max(height + bars, 3 * (side + LABEL)) + 2 * GAP
    canvas = Image.new("RGB", (_even(width + COLUMN + 3 * GAP), _even(below)), PAPER)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    canvas.paste(Image.fromarray(moment.picture), (GAP, GAP))
    for row, (label, view) in enumerate(views.items()):
        left, top = width + 2 * GAP, GAP + row * (side + LABEL)
        pen.text((left, top), label, INK, font)
        if view is None:
            pen.rectangle((left, top + LABEL - 2, left + COLUMN - 1, top + LABEL + side - 3), FAINT)
            continue
        large = cv2.resize(view, (COLUMN, side), interpolation=cv2.INTER_NEAREST)
        canvas.paste(Image.fromarray(large), (left, top + LABEL - 2))
    _draw_bars(pen, font, moment.action, width=width, top=height + 2 * GAP)
    score = f"return {moment.episode_return:.0f}"
    pen.text((GAP + width, height + 2 * GAP + LABEL), score, INK, font, anchor="ra")
    return np.asarray(canvas)


def draw_dream(moment: DreamtMoment) -> NDArray[np.uint8]:
    """A moment of a dream as one picture, (height, width, 3) uint8, with even sides."""
    width = DREAM_WIDTH
    height = width * moment.seen.shape[0] // moment.seen.shape[1]
    size = _even(width + 2 * GAP), _even(height + 3 * LABEL + 3 * GAP)
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    large = cv2.resize(moment.seen, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas.paste(Image.fromarray(large), (GAP, GAP))
    _draw_bars(pen, font, moment.action, width=width, top=height + 2 * GAP)
    score = f"dreamt return {moment.dream_return:.0f}"
    pen.text((GAP + width, height + 2 * GAP + LABEL), score, INK, font, anchor="ra")
    return np.asarray(canvas)


def _draw_bars(
    pen: ImageDraw.ImageDraw, font: Font, action: NDArray[np.float32], *, width: int, top: int
) -> None:
    """The action, from this row of pixels on."""
    zero_of = {"steering": 0.5, "gas": 0.0, "brake": 0.0}  # of the bar's length
    left, length = GAP + 70, width - 70 - 130
    for row, ((name, zero), value) in enumerate(zip(zero_of.items(), action, strict=True)):
        above = top + row * LABEL
        pen.text((GAP, above), name, INK, font)
        pen.rectangle((left, above + 3, left + length, above + 13), FAINT)
        first, last = sorted((zero, zero + float(value) * (1 - zero)))
        bar = left + first * length, above + 3, left + last * length, above + 13
        pen.rectangle(bar, BAR_COLOURS[name])


def keyboard_drives(_: Dreams) -> NDArray[np.float32]:
    """Arrow keys at the wheel, as in gym's own game: they steer, give gas, and brake."""
    import pygame

    held = pygame.key.get_pressed()
    steering = float(held[pygame.K_RIGHT]) - float(held[pygame.K_LEFT])
    return np.array([[steering, held[pygame.K_UP], BRAKE * held[pygame.K_DOWN]]], np.float32)


def _even(length: int) -> int:
    return length + length % 2  # films have even sides


def show(pictures: Iterator[NDArray[np.uint8]]) -> None:
    """Play in a window, at CarRacing's own speed where the machine can; Escape ends it.

    Raises:
        WorldModelsError: there is no display.
    """
    import pygame

    chosen = os.environ.get("SDL_VIDEODRIVER")
    try:
        pygame.display.init()
        problem = "" if chosen else f"SDL's driver {pygame.display.get_driver()!r}"
    except pygame.error as error:
        problem = str(error)
    if problem and (not pygame.display.get_init() or pygame.display.get_driver() in NO_DISPLAY):
        raise WorldModelsError(
            f"expected a display to open a window on, got none ({problem}); "
            "`python -m worldmodels.watch --film drive.mp4` writes a film instead"
        )
    clock, window = pygame.time.Clock(), None
    for picture in pictures:
        if window is None:
            window = pygame.display.set_mode((picture.shape[1], picture.shape[0]))
            pygame.display.set_caption("World Models")
        window.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        clock.tick(FRAMES_PER_SECOND)
        for event in pygame.event.get():
            left = event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE
            if left or event.type == pygame.QUIT:
                return


def write_film(pictures: Iterator[NDArray[np.uint8]], path: Path, *, steps: int) -> None:
    """Write an MP4, or a WebP, which web pages show as a moving picture, and say how far it is.

    Args:
        steps: of the drive, at most.
    """
    with Progress("watch", steps, "steps") as progress:

        def shown() -> Iterator[NDArray[np.uint8]]:
            for picture in pictures:
                yield picture
                progress.advance(1)

        if path.suffix == ANIMATED:
            _write_animated(shown(), path)
            return
        film = Film(path)
        for picture in shown():
            film.add(picture)
        film.close()


def _write_animated(pictures: Iterator[NDArray[np.uint8]], path: Path) -> None:
    first, *others = map(Image.fromarray, islice(pictures, None, None, EVERY))
    with atomic_write(path) as temporary:
        first.save(
            temporary,
            format=path.suffix[1:],
            save_all=True,
            append_images=others,
            duration=1000 * EVERY // FRAMES_PER_SECOND,
            loop=0,
            quality=QUALITY,
            method=6,
        )


def _film(text: str) -> Path:
    """The argument of --film."""
    path = Path(text)
    if path.suffix not in FILMS:
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in {' or '.join(FILMS)}, got {text!r}"
        )
    return path


def _evaluated() -> str:
    """Folder of the models that `dvc repro` evaluates."""
    return f"models/{load_group('evaluation', EvaluationParams).round}"


def _require_consistent(options: argparse.Namespace) -> None:
    """Raises WorldModelsError if one option makes no sense beside another."""
    if options.follow and (options.film or options.dream):
        other = "--film" if options.film else "--dream"
        raise WorldModelsError(f"--follow: expected a window to follow in, got {other}; choose one")
    if options.keyboard and (options.film or not options.dream):
        got = "--film" if options.film else "no --dream"
        raise WorldModelsError(f"--keyboard: expected a dream in a window, got {got}")


def _pictures(options: argparse.Namespace) -> Iterator[NDArray[np.uint8]]:
    """What there is to be watched."""
    if options.follow:
        return map(draw, follow(seed=options.seed, steps=options.steps))
    models = options.models or _evaluated()
    agent = Agent.load(models)
    if not options.dream:
        return map(draw, drive(agent, seed=options.seed, steps=options.steps))
    # It takes seconds to import TensorFlow.
    from worldmodels.dream.dreamt_drive import dream_on
    from worldmodels.dream.starts import DreamStarts

    moments = dream_on(
        agent,
        DreamStarts.load(Path(models, "dream_starts.h5"), agent.memory).bounds,
        seed=options.seed,
        steps=options.steps,
        temperature=options.temperature,
        driver=keyboard_drives if options.keyboard else None,
    )
    return map(draw_dream, moments)


def main(arguments: list[str] | None = None) -> int:
    """Watch an agent; the exit status is 1 if that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels.watch", description="Watch a trained agent drive."
    )
    parser.add_argument(
        "--models", metavar="FOLDER", help="default: those of evaluation.round in params.yaml"
    )
    parser.add_argument(
        "--seed", default=7, type=integer(0, MAX_SEED), help="of the track; default: 7"
    )
    parser.add_argument(
        "--steps", default=STEPS, type=integer(1, STEPS), help=f"at most; default: {STEPS}"
    )
    parser.add_argument(
        "--follow", action="store_true", help="the mean of a running evolution, with its V and M"
    )
    parser.add_argument("--film", type=_film, metavar="FILE", help="write .mp4 or .webp")
    parser.add_argument(
        "--dream", action="store_true", help="let M dream on after a second, and C drive in that"
    )
    parser.add_argument(
        "--keyboard", action="store_true", help="drive in the dream yourself, by arrow keys"
    )
    parser.add_argument(
        "--temperature",
        default=1.0,
        type=number(0, MAX_TEMPERATURE),
        help="of the dream: how far it strays from what is likely; 0 for not at all; default: 1",
    )
    options = parser.parse_args(arguments)
    if options.film:
        os.environ["SDL_VIDEODRIVER"] = "dummy"  # gym draws without a display
    try:
        _require_consistent(options)
        if options.film:
            require_writable(options.film)  # before anything is driven
        pictures = _pictures(options)
        if options.film:
            write_film(pictures, options.film, steps=options.steps)
            print(f"watch: wrote {options.film}")
        else:
            show(pictures)
    except WorldModelsError as error:
        print(f"watch: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
