"""Fields and parameters in docstrings, one a line, as griffe wants them; files stay as they are.

A class describes its fields as `name: what it is.`, without a heading; a line may hold two of them,
as in `epoch: whole epochs done. step: steps done of the next.`, and two may share what is said, as
in `vae, memory: trained models.`
"""

import re
from collections.abc import Collection
from itertools import takewhile

import griffe


class Fields(griffe.Extension):
    """Gives fields the heading `Attributes:`, and fields and parameters a line each."""

    def on_class(self, *, cls: griffe.Class, **kwargs: object) -> None:
        """Rewrite what a class says of fields, and of its constructor's parameters."""
        if cls.docstring:
            parameters = [parameter.name for parameter in cls.parameters]
            cls.docstring.value = itemised(cls.docstring.value, {*cls.attributes, *parameters})

    def on_function(self, *, func: griffe.Function, **kwargs: object) -> None:
        """Rewrite what a function says of its parameters."""
        if func.docstring:
            parameters = [parameter.name for parameter in func.parameters]
            func.docstring.value = itemised(func.docstring.value, parameters)


def itemised(text: str, names: Collection[str]) -> str:
    """Give each of `names` a line of its own, where a line begins with one of them and a colon.

    The lines that follow, up to an empty one, belong to it, unless they begin with a name, too. One
    that is not of `names` is left for griffe to warn of.
    """
    name = "|".join(map(re.escape, names)) or "(?!)"
    known = rf"(?:{name})(?:, (?:{name}))*"
    lines = text.split("\n")
    written = []
    while lines:
        if not re.match(rf"(?:{known}):\s", lines[0].lstrip()):
            written.append(lines.pop(0))
            continue
        block = list(takewhile(str.strip, lines))
        del lines[: len(block)]
        margin = block[0][: -len(block[0].lstrip())]
        if not margin:
            written.append("Attributes:")
        # A name of no parameter is one where it begins a line as the others do.
        other = rf"|\n{margin}(\w+(?:, \w+)*)" if margin else "|(?!)()"
        item = re.compile(rf"(?:(?:^|\n *|(?<=[.;]) )({known}){other}):\s")
        _, *parts = item.split("\n".join(block).lstrip())
        for group, unknown, said in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            sentence = " ".join(said.split()).removesuffix(";")
            written += [
                f"{margin or '    '}{one}: {sentence}" for one in (group or unknown).split(", ")
            ]
    return "\n".join(written)
