"""Figures as PNG: true colours, and the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from worldmodels.core.files import atomic_write

DPI = 100
matplotlib.rcdefaults()  # whatever the user's matplotlibrc says of fonts and colours


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure in all its colours: of 256 the few red pixels of a car would get none."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with atomic_write(path) as temporary:
        picture.save(temporary, format="png", optimize=True)
