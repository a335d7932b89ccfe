"""The two rounds of the pipeline: what each learns from, and where its results go.

In the first, V and M have seen nothing but exploring. In the second, the agent that came of it has
driven, too; V, M and C go on from where they were, with what it saw. Read `Round`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import AGAIN_SUFFIX

EXPLORED = "data/episodes"
DRIVEN = "data/agent_episodes"  # by the first round's agent
TRANSFERRED = "models/transferred_controller.h5"  # its C, for V and M of the second round


@dataclass(frozen=True)
class Round:
    """A round of training V, M and C.

    suffix: of the names of its stages, parameter groups and files.
    episodes: folders of what V and M learn from.
    models: folder of its vae.h5, memory.h5 and controller.h5.
    previous: folder of the models that it starts with; None for new ones.
    """

    suffix: str
    episodes: tuple[str, ...]
    models: str
    previous: str | None

    def named(self, name: str) -> str:
        """The round's own stage, parameter group, file or metric of this name."""
        return name + self.suffix

    @property
    def latents(self) -> str:
        """The file of its episodes' latents."""
        return f"data/{self.named('latents')}.h5"


FIRST = Round("", (EXPLORED,), "models/first", None)
AGAIN = Round(AGAIN_SUFFIX, (EXPLORED, DRIVEN), "models", FIRST.models)


def chosen_round(arguments: Sequence[str]) -> Round:
    """The round that a stage's command line asks for: nothing for the first, or `again`.

    Raises:
        WorldModelsError: it asks for something else.
    """
    match list(arguments):
        case []:
            return FIRST
        case ["again"]:
            return AGAIN
    raise WorldModelsError(f"expected no arguments, or `again`, got {' '.join(arguments)!r}")
