"""The page as one HTML file that needs no server: it works from a disk, a mail, a web site.

Modules become entries of an import map, the models gzipped base64. Read `single_file`.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

IMPORT = re.compile(r"(?<=from ')(\.{1,2}/[^']+)(?=')")
STYLE = '<link rel="stylesheet" href="style.css">'
SCRIPT = '<script type="module" src="app.js"></script>'


def single_file(folder: Path, manifest: dict[str, Any], weights: bytes) -> str:
    """The page in this folder with models in it, as text.

    Args:
        folder: of index.html, style.css and app.js with its modules.
        manifest, weights: what `export_weights` returns.
    """
    modules = {path: path.read_text() for path in sorted(folder.rglob("*.js"))}
    imports = {
        _name(path, folder): _data_address(_without_folders(text, path, folder))
        for path, text in modules.items()
    }
    packed = base64.b64encode(gzip.compress(weights, mtime=0)).decode("ascii")
    scripts = [
        _script("importmap", json.dumps({"imports": imports})),
        _script("application/json", _models(manifest, packed), name="models"),
        _script("module", f"import '{_name(folder / 'app.js', folder)}';"),
    ]
    page = (folder / "index.html").read_text()
    style = f"<style>\n{(folder / 'style.css').read_text()}</style>"
    return _replaced(_replaced(page, STYLE, style), SCRIPT, "\n".join(scripts))


def _name(path: Path, folder: Path) -> str:
    """What the import map calls a module."""
    return f"page/{path.relative_to(folder).as_posix()}"


def _without_folders(text: str, path: Path, folder: Path) -> str:
    """A module that imports others by their names in the import map: an address of data has no
    folder that a relative path could begin at."""

    def name(found: re.Match[str]) -> str:
        return _name((path.parent / found[0]).resolve(), folder.resolve())

    return IMPORT.sub(name, text)


def _data_address(text: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode('ascii')}"


def _models(manifest: dict[str, Any], packed: str) -> str:
    return json.dumps({"manifest": manifest, "weights": packed})


def _script(kind: str, text: str, *, name: str = "") -> str:
    named = f' id="{name}"' if name else ""
    closed = text.replace("</", r"<\/")  # nothing in it ends the element
    return f'<script type="{kind}"{named}>{closed}</script>'


def _replaced(page: str, old: str, new: str) -> str:
    if page.count(old) != 1:
        raise ValueError(f"index.html: expected {old} once, got it {page.count(old)} times")
    return page.replace(old, new)
