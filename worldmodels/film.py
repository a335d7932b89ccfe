"""Films: frames streamed into an H.264 MP4, which every browser plays."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

FRAMES_A_SECOND = 50  # CarRacing's own clock
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


class Film:
    """An MP4 in the making; it gets its name when it is closed.

    Args:
        path: where to.
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
                fps=FRAMES_A_SECOND,
                codec="libx264",
                quality=None,
                macro_block_size=2,
                output_params=["-crf", "23", *SAME_BYTES],
            )
            self._ffmpeg.send(None)
            self._started = True
        self._ffmpeg.send(np.ascontiguousarray(frame))

    def close(self) -> None:
        """Finish the file."""
        if self._started:
            self._ffmpeg.close()
            self._temporary.replace(self._path)
