"""The command `worldmodels`, and `python -m worldmodels`: one word for each thing to do.

It imports what was asked for and nothing else. Read `COMMANDS`.
"""

from __future__ import annotations

import difflib
import importlib
import sys

from worldmodels import __version__

COMMANDS = {  # module with a `main` that takes arguments, and what it does
    "watch": ("worldmodels.watch", "watch a trained agent drive, in a window or as a film"),
    "page": (
        "worldmodels.page.__main__",
        "drive, dream and drag the latents, on a page in the browser",
    ),
    "presets": (
        "worldmodels.pipeline.presets",
        "write a preset, such as tiny, to params.yaml",
    ),
    "check-lock": ("worldmodels.pipeline.check_lock", "say which stages of dvc.lock no longer fit"),
    "model-cards": ("worldmodels.model_cards", "write the models' cards, docs/models.md"),
}
USAGE = "\n".join(
    [
        "usage: worldmodels [--version] COMMAND ...",
        "",
        *(f"  {name:<12}{does}" for name, (_, does) in COMMANDS.items()),
        "",
        "`worldmodels COMMAND --help` says more. The pipeline itself is `dvc repro`.",
    ]
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its exit status, or 2 if there is no such command."""
    name, *others = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in ("", "-h", "--help"):
        print(USAGE)
        return 0
    if name == "--version":
        print(f"worldmodels {__version__}")
        return 0
    if name not in COMMANDS:
        nearest = difflib.get_close_matches(name, COMMANDS, n=1)
        guess = f"did you mean {nearest[0]}?" if nearest else f"expected {', '.join(COMMANDS)}"
        print(f"worldmodels: unknown command {name!r}, {guess}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(COMMANDS[name][0])
    except ModuleNotFoundError as error:
        if (error.name or "worldmodels").partition(".")[0] == "worldmodels":
            raise
        print(
            f"worldmodels: {name} needs {error.name}, which is not installed; "
            "`uv pip install '.[pipeline]'` brings all",
            file=sys.stderr,
        )
        return 1
    return int(module.main(others))


if __name__ == "__main__":
    raise SystemExit(main())
