"""World Models (Ha & Schmidhuber 2018): vision, memory and controller for CarRacing.

The names below load when they are first used, so that importing the simulator or reading episodes
does not import TensorFlow. Read `agent` to see the three parts act together.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from worldmodels.car_racing.registration import register_environments

__version__ = "0.1.0"

# Read by TensorFlow when it is first imported; a value that is already set wins. oneDNN's kernels
# train the VAE twice as fast, and TensorFlow leaves them off on processors without AVX512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
# Read by SDL when a window opens. Without it SDL draws by OpenGL, and Mesa's LLVM and TensorFlow's
# do not go together in one process: a segmentation fault.
os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")

register_environments()

if TYPE_CHECKING:
    from worldmodels.data.episodes import read_episodes
    from worldmodels.models.agent_process import Agent
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

__all__ = ["MDNRNN", "VAE", "Agent", "__version__", "read_episodes"]

_MODULE_OF = {
    "Agent": "models.agent_process",
    "MDNRNN": "models.memory",
    "VAE": "models.vae",
    "read_episodes": "data.episodes",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'worldmodels' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"worldmodels.{_MODULE_OF[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "worldmodels").partition(".")[0] == "worldmodels":
            raise
        raise ImportError(
            f"worldmodels.{name} needs {error.name}, which the simulator alone does not bring; "
            "`uv pip install '.[pipeline]'` does",
            name=error.name,
        ) from error
