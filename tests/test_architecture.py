"""The packages are the architecture: imports go one way, from the stages down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import ROOT

# From the lowest up: a package imports from those before it alone.
FLOORS = (
    *("core", "car_racing", "data", "rollouts"),
    *("models", "dream", "training", "inspection", "pipeline", "page"),
)
FLOOR_OF = {package: floor for floor, package in enumerate(FLOORS)}
MODULES = sorted((ROOT / "worldmodels").glob("*/*.py"))
LONGEST = 440  # lines


def imported_packages(module: Path) -> Iterator[str]:
    """Of this project, imports for type checkers included."""
    for node in ast.walk(ast.parse(module.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "worldmodels" and len(parts) > 1 and parts[1] in FLOOR_OF:
                yield parts[1]


def test_every_package_has_its_floor_and_says_what_to_read_first() -> None:
    packages = {path.parent.name for path in (ROOT / "worldmodels").glob("*/__init__.py")}
    assert packages == set(FLOOR_OF)
    for package in packages:
        text = ast.get_docstring(
            ast.parse((ROOT / f"worldmodels/{package}/__init__.py").read_text())
        )
        assert text is not None
        assert "Read `" in text or "Read\n`" in text


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_imports_go_down(module: Path) -> None:
    package = module.parent.name
    for other in set(imported_packages(module)) - {package}:
        assert FLOOR_OF[other] < FLOOR_OF[package], f"{package} imports from {other}"


@pytest.mark.parametrize("package", FLOORS)
def test_the_reference_has_every_module(package: str) -> None:
    text = (ROOT / f"docs/reference/{package}.md").read_text()
    listed = re.findall(rf"^::: worldmodels\.{package}\.(\w+)$", text, re.MULTILINE)
    there = {module.stem for module in MODULES if module.parent.name == package} - {"__init__"}
    assert set(listed) == there
    assert listed == sorted(listed)


def test_no_module_is_too_long_to_read() -> None:
    lengths = {path.stem: len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
