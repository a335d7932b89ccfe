"""Which of the project's modules a stage uses, read from its import statements.

`python tests/stage_modules.py` writes them into dvc.yaml, in the place of those it lists.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path


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


def with_modules(dvc_yaml: str, root: Path) -> str:
    """dvc.yaml with the modules of each stage as the last of its dependencies."""
    lines: list[str] = []
    stage = script = listed = ""
    for line in dvc_yaml.splitlines():
        if named := re.fullmatch(r"  (\w+):", line):
            stage = named[1]
        if command := re.fullmatch(r"    cmd: (.*)", line):
            script = script_of(command[1])
        if re.fullmatch(r"      - (stages|worldmodels)/\S+\.py", line):
            continue
        if line in ("    outs:", "    metrics:") and stage != listed:
            listed = stage
            used = modules_used(root / script, root) - {script}
            lines += [f"      - {path}" for path in (script, *sorted(used))]
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    path = root / "dvc.yaml"
    path.write_text(with_modules(path.read_text(), root))
