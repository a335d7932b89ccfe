"""Which of the project's modules a stage uses, read from its import statements."""

from __future__ import annotations

import ast
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
