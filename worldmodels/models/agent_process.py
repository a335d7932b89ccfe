"""The agent for people: gym's frames in, gym's actions out, computed in a process of its own.

TensorFlow adds up in another order for each number of threads, which it has for a whole process
and which cannot be changed once it was used. So a small child process computes, on one thread and
with the settings of the rollout workers: the same actions to the last bit, whatever the caller's
process does with TensorFlow, if anything. It ends with its agent, and with the caller. Read `Agent`
first; `serve` is what runs in the child.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.frames import GYM_FRAME_SHAPE
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.inherited import own_settings
from worldmodels.core.shapes import require_shape
from worldmodels.models.controller import LinearController

if TYPE_CHECKING:
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

LOOK_FOR_PARENT_EVERY = 1.0  # seconds; another child of the caller's may hold the pipe open
SERVE = "import sys; sys.path[:] = {path!r}; import {module} as own; own.serve({pipe}, {parent})"


class Agent:
    """A trained agent that drives CarRacing.

    It drives with the models as they are when it is made; pickled or copied, in the midst of an
    episode too, it goes on from where it was.

    >>> agent = Agent.load("models")
    >>> agent.reset(batch_size=1, seed=7)
    >>> action = agent.act(frame)  # (96, 96, 3) uint8 from gym to (3,) float32 for gym

    Raises:
        WorldModelsError: the parts do not fit each other.
    """

    _controller: LinearController
    _copies: tuple[VAE, MDNRNN] | None

    def __init__(self, vae: VAE, memory: MDNRNN, controller: LinearController) -> None:
        self._start("made", vae, memory, controller)

    @classmethod
    def load(cls, folder: str | Path, *, controller: str | Path | None = None) -> Agent:
        """The agent whose vae.h5, memory.h5 and controller.h5 lie in `folder`.

        Args:
            controller: of another C in the place of the folder's.

        Raises:
            WorldModelsError: one is missing, damaged, or does not fit the others.
        """
        agent = cls.__new__(cls)
        folder = Path(folder)
        agent._start("loaded", folder, Path(controller or folder / "controller.h5"))
        return agent

    def reset(self, batch_size: int = 1, *, seed: int = 0) -> None:
        """Begin `batch_size` episodes.

        Args:
            batch_size: frames that every `act` will be given.
            seed: of the noise of the first episode, the others' follow; only a controller that
                samples z draws any.

        Raises:
            WorldModelsError: no frames, or a seed below 0.
        """
        if batch_size < 1:
            raise WorldModelsError(f"batch_size: expected 1 or more, got {batch_size}")
        if seed < 0:
            raise WorldModelsError(f"seed: expected 0 or more, got {seed}")
        self._ask("reset", batch_size, seed)

    def act(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Choose the next action.

        Args:
            frames: gym's, (96, 96, 3) uint8, or a batch of them, (batch_size, 96, 96, 3).

        Returns:
            (3,) float32 for one frame, (batch_size, 3) for a batch: steering in [-1, 1], gas and
            brake in [0, 1].

        Raises:
            WorldModelsError: other shapes, or another batch size than at `reset`.
        """
        single = getattr(frames, "ndim", 0) == 3
        if not single:
            require_shape("frames", frames, ("batch", *GYM_FRAME_SHAPE), np.uint8)
        actions: NDArray[np.float32] = self._ask("act", frames[None] if single else frames)
        return actions[0] if single else actions

    def view(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """What the agent saw at its last `act`, what V makes of that, and the next frame as M
        expects it, decoded: each (batch_size, height, width, 3) uint8."""
        view: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]] = self._ask("view")
        return view

    @property
    def vae(self) -> VAE:
        """A copy of V, in this process."""
        return self._models[0]

    @property
    def memory(self) -> MDNRNN:
        """A copy of M, in this process."""
        return self._models[1]

    @property
    def controller(self) -> LinearController:
        """C; the agent can be given another, and must then be reset.

        Raises:
            WorldModelsError: the other does not fit V and M.
        """
        return self._controller

    @controller.setter
    def controller(self, controller: LinearController) -> None:
        self._ask("take_controller", controller)
        self._controller = controller

    @property
    def _models(self) -> tuple[VAE, MDNRNN]:
        if self._copies is None:
            self._copies = self._ask("copies")
        return self._copies

    def __getstate__(self) -> bytes:
        state: bytes = self._ask("state")
        return state

    def __setstate__(self, state: bytes) -> None:
        self._start("copied", state)

    def _start(self, how: str, *arguments: object) -> None:
        """Start the process and have it make the agent."""
        self._copies = None
        self._owner = os.getpid()
        # Ctrl-C ends what the caller waits for, never a message in the midst of it.
        self._messenger = ThreadPoolExecutor(1, thread_name_prefix="agent")
        self._pipe, theirs = Pipe()
        with theirs:
            code = SERVE.format(
                path=[str(entry) for entry in sys.path],
                module=__name__,
                pipe=theirs.fileno(),
                parent=self._owner,
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                env=own_settings(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the caller's
            )
        weakref.finalize(self, _end, self._pipe, self._process)
        self._controller = self._ask(how, *arguments)

    def _ask(self, what: str, *arguments: object) -> Any:
        """The process's answer.

        Raises:
            WorldModelsError: what the process raised, or that it has ended.
        """
        if os.getpid() != self._owner:
            raise WorldModelsError(
                f"agent: expected to be used in the process that loaded it, {self._owner}, got "
                f"{os.getpid()}, a fork of it: load it there, or send it there pickled"
            )
        exchange = self._messenger.submit(_exchange, self._pipe, (what, arguments))
        try:
            answer, error = exchange.result()
        except (EOFError, ConnectionError) as ended:
            raise WorldModelsError(
                f"agent: expected an answer of its process, got its end with exit code "
                f"{self._process.wait()}: load it again (-9 is a kill, usually for want of memory)"
            ) from ended
        if error is not None:
            raise error
        return answer


def _exchange(pipe: Connection, question: tuple[str, tuple[object, ...]]) -> Any:
    pipe.send(question)
    return pipe.recv()


def _end(pipe: Connection, process: subprocess.Popen[bytes]) -> None:
    pipe.close()
    process.kill()
    process.wait()


def serve(descriptor: int, parent: int) -> None:
    """Answer one agent's questions until it, or the process `parent` that it is in, has ended."""
    import cv2

    from worldmodels.models.agent import AgentModels
    from worldmodels.models.determinism import use_one_core

    use_one_core()
    cv2.setNumThreads(1)
    make: dict[str, Callable[..., AgentModels]] = {
        "made": AgentModels,
        "loaded": AgentModels.load,
        "copied": pickle.loads,
    }
    pipe = Connection(descriptor)
    models: AgentModels
    while True:
        while not pipe.poll(LOOK_FOR_PARENT_EVERY):
            if os.getppid() != parent:
                return
        try:
            what, arguments = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        answer: object = None
        error: Exception | None = None
        try:
            if what in make:
                models = make[what](*arguments)
                answer = models.controller
            elif what == "copies":
                answer = models.vae, models.memory
            elif what == "state":
                answer = pickle.dumps(models)
            else:
                answer = getattr(models, what)(*arguments)
        except WorldModelsError as refusal:
            error = refusal
        except Exception as defect:
            error = WorldModelsError(f"agent: its process failed: {defect!r}")
            error.add_note(traceback.format_exc())
        try:
            pipe.send((answer, error))
        except (BrokenPipeError, ConnectionResetError):
            return
