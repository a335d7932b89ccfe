"""The rounds of the pipeline, as params.yaml lists them: what each learns from, and where its
results go.

In the first round V and M see nothing but exploration. In a later one the agent of the round before
drives, and V, M and C are trained further on all episodes so far. Read `Round`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import ROUNDS, Group, ParameterError, read_params
from worldmodels.core.wording import key_shown, listed, shown

NONE = "none"  # the round before the first; check_params writes stand-ins for its outputs
NAME = re.compile(r"[a-z][a-z0-9_]{0,15}")


@dataclass(frozen=True)
class Round:
    """A round of sampling and of training V, M and C.

    name: its key under `rounds` in params.yaml.
    before: names of the rounds before it, the first one first.
    """

    name: str
    before: tuple[str, ...]

    @property
    def previous(self) -> Round | None:
        """The round that it starts from; None for new models."""
        return Round(self.before[-1], self.before[:-1]) if self.before else None

    def stage(self, stage: str) -> str:
        """A stage's name as DVC has it, such as train_vae@first."""
        return f"{stage}@{self.name}"

    def metric(self, name: str) -> str:
        """A metric's name, one that no other round has: `dvc exp show` then names no files."""
        return f"{name}_{self.name}"

    @property
    def models(self) -> str:
        """Folder of its vae.h5, memory.h5 and controller.h5."""
        return f"models/{self.name}"

    @property
    def initial_controller(self) -> str:
        """C as the evolution starts from it: zeros, or the controller before, transferred."""
        return f"{self.models}/initial_controller.h5"

    @property
    def dream_starts(self) -> str:
        """Where its M's dreams begin."""
        return f"{self.models}/dream_starts.h5"

    @property
    def metrics(self) -> str:
        """Folder of its metrics and curves."""
        return f"metrics/{self.name}"

    @property
    def all_episodes(self) -> tuple[str, ...]:
        """Folders of all episodes that V and M learn from, its own last."""
        return tuple(f"data/episodes/{self.name}/{name}" for name in (*self.before, self.name))

    @property
    def episodes(self) -> str:
        """Folder of the episodes that were sampled in this round."""
        return self.all_episodes[-1]

    @property
    def latents(self) -> str:
        """File of the latents of all its episodes."""
        return f"data/latents/{self.name}.h5"


def rounds_of(groups: Mapping[str, Group]) -> dict[str, Round]:
    """The rounds that params.yaml lists, by name; `groups` is what `read_params` read.

    Raises:
        ParameterError: a round's name cannot be one of a folder, or it comes after no round above.
    """
    if not groups.get(ROUNDS):
        raise ParameterError("expected at least one round, got none", key=ROUNDS)
    rounds: dict[str, Round] = {}
    for name, said in groups[ROUNDS].items():
        place = f"{ROUNDS}.{key_shown(name)}"
        if not NAME.fullmatch(str(name)) or name == NONE:
            expected = f"up to 16 of a-z, 0-9 and _, and not {NONE}, since folders are called so"
            raise ParameterError(f"expected a name of {expected}", key=place)
        after = said.get("after") if isinstance(said, dict) else None
        if after != NONE and after not in rounds:
            expected = ", ".join(["none", *rounds])
            raise ParameterError(
                f"expected the name of a round above ({expected}), got {shown(after)}",
                key=f"{place}.after",
            )
        previous = rounds.get(str(after))
        rounds[name] = Round(name, (*previous.before, previous.name) if previous else ())
    return rounds


def chosen_round(arguments: Sequence[str]) -> Round:
    """The round that a stage's command line names, of params.yaml.

    Raises:
        WorldModelsError: it names none, or one that params.yaml does not list.
    """
    rounds = rounds_of(read_params())
    if len(arguments) != 1 or arguments[0] not in rounds:
        got = " ".join(arguments) or "nothing"
        raise WorldModelsError(f"expected the name of a round ({listed(rounds)}), got {got}")
    return rounds[arguments[0]]
