"""Which of the project's code a stage depends on, read from import statements.

Packages count as a whole, but for `training`, whose modules each serve a stage that takes minutes.
`python tests/stage_modules.py` writes them into dvc.yaml, in the place of those it lists.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml


def modules_used(script: Path, root: Path) -> set[str]:
    """Paths, relative to `root`, of a script and every module it imports, directly or not.

    Imports for type checkers alone do not count: they never run.
    """
    found: set[str] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root).as_posix()
        if name in found:
            continue
        found.add(name)
        waiting += [
            parent / "__init__.py"
            for parent in path.parents
            if parent.is_relative_to(root) and parent != root
        ]
        for imported in _imports(ast.parse(path.read_text())):
            candidate = root / (imported.replace(".", "/") + ".py")
            if imported.split(".")[0] in ("worldmodels", "stages") and candidate.exists():
                waiting.append(candidate)
    return found


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names += _imports(node)
    return names


BY_MODULE = "worldmodels/training"


def code_of(script: Path, root: Path) -> set[str]:
    """What dvc.yaml lists of a script's code: modules, and folders of modules."""
    return {
        module if folder in ("worldmodels", "stages", BY_MODULE) else folder
        for module in modules_used(script, root)
        for folder in [module.rpartition("/")[0]]
    }


def script_of(cmd: str) -> str:
    """The script, relative to the root, of a stage's command, `sh stages/run name ...`."""
    return f"stages/{cmd.split()[2]}.py"


def bodies(pipeline: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a parsed dvc.yaml says of each stage, of one that is made for each round once."""
    return {name: stage.get("do", stage) for name, stage in pipeline["stages"].items()}


def write_modules(root: Path) -> None:
    """Let dvc.yaml list the modules of each stage."""
    path = root / "dvc.yaml"
    with modify_yaml(path) as pipeline:
        for stage in bodies(pipeline).values():
            inputs = [dep for dep in stage.get("deps", []) if not re.match(CODE, dep)]
            code = code_of(root / script_of(stage["cmd"]), root)
            stage["deps"] = [*sorted(inputs), *sorted(code)]


CODE = r"(stages|worldmodels)/"


if __name__ == "__main__":
    write_modules(Path(__file__).resolve().parent.parent)
