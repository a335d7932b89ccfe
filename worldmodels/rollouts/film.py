"""Films: frames streamed into an H.264 MP4, which every browser plays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError

FRAMES_PER_SECOND = 50  # CarRacing's own clock
# No encoder settings and versions in the file, and one thread: the same frames give the same bytes.
SAME_BYTES = [
    "-fflags",
    "+bitexact",
    "-flags:v",
    "+bitexact",
    "-threads",
    "1",
    "-map_metadata",
    "-1",
]


class FilmError(WorldModelsError):
    """ffmpeg could not write a film."""


class Film:
    """An MP4 in the making; it gets its name when it is closed.

    Args:
        path: where to.

    Raises:
        FilmError: from `add` and `close`, where ffmpeg cannot be run or gives up.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = self._path.with_name(f".part-{self._path.name}")
        self._started = False

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame, (height, width, 3) uint8, of the same even sides as all others."""
        if not self._started:
            height, width, _ = frame.shape
            self._ffmpeg = imageio_ffmpeg.write_frames(
                str(self._temporary),
                (width, height),
                fps=FRAMES_PER_SECOND,
                codec="libx264",
                quality=None,
                macro_block_size=2,
                output_params=["-crf", "23", *SAME_BYTES],
            )
            with self._telling_of_ffmpeg():
                self._ffmpeg.send(None)
            self._started = True
        with self._telling_of_ffmpeg():
            self._ffmpeg.send(np.ascontiguousarray(frame))

    def close(self) -> None:
        """Finish the file."""
        if self._started:
            with self._telling_of_ffmpeg():
                self._ffmpeg.close()
                self._temporary.replace(self._path)

    @contextmanager
    def _telling_of_ffmpeg(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, StopIteration) as error:
            said = next(filter(None, map(str.strip, str(error).splitlines())), repr(error))
            raise FilmError(
                f"{self._path}: expected ffmpeg to write a film, got: {said}; "
                "IMAGEIO_FFMPEG_EXE=/path/to/ffmpeg names another"
            ) from error
