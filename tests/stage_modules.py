"""Which of the project's modules a stage uses, read from its import statements.

`python tests/stage_modules.py` writes them into dvc.yaml, in the place of those it lists, and gives
that file the form in which DVC writes it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from dvc.utils.serialize import modify_yaml


def modules_used(script: Path, root: Path) -> set[str]:
    """Paths, relative to `root`, of a script and every module it imports, directly or not.

    Imports for type checkers alone do not count: they never run.
    """
    found: set[str] = set()
    waiting = [script, *(root / package / "__init__.py" for package in ("stages", "worldmodels"))]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root).as_posix()
        if name in found:
            continue
        found.add(name)
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


def script_of(cmd: str) -> str:
    """The script, relative to the root, of a stage's command, `sh stages/run name ...`."""
    return f"stages/{cmd.split()[2]}.py"


def write_modules(root: Path) -> None:
    """Let dvc.yaml list the modules of each stage, in the form in which DVC itself writes it, so
    that `dvc freeze` and the like change what they are to change alone."""
    path = root / "dvc.yaml"
    with modify_yaml(path) as pipeline:
        stages = pipeline["stages"]
        for stage in stages.values():
            inputs = [dep for dep in stage["deps"] if not re.match(r"(stages|worldmodels)/", dep)]
            stage["deps"] = [*inputs, *modules_used(root / script_of(stage["cmd"]), root)]
    dvc = Path(sys.executable).with_name("dvc")
    for command in ("freeze", "unfreeze"):  # each sorts and indents the stages that it names
        subprocess.run([dvc, command, "--quiet", *stages], cwd=root, check=True)
    text = path.read_text()  # sorting loses some of the empty lines before stages; DVC keeps others
    path.write_text(re.sub(r"(?<=[^:\n])\n(?=(  )?\w+:$)", "\n\n", text, flags=re.MULTILINE))


if __name__ == "__main__":
    write_modules(Path(__file__).resolve().parent.parent)
