"""A page to drive, to dream and to drag the latents: `worldmodels page`.

It is served on the loopback address and opened in a browser, or written as one file that needs no
server. Read `main`.
"""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path
from typing import Any

from worldmodels.core.arguments import integer
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write, require_writable
from worldmodels.core.params import load_group
from worldmodels.models.controller import LinearController
from worldmodels.page.server import PageServer
from worldmodels.page.single_file import single_file
from worldmodels.page.weights import export_weights
from worldmodels.running_evolution import evolution_to_follow, running_evolution
from worldmodels.training.evaluation import EvaluationParams

PAGE = Path(__file__).parents[2] / "page"  # beside the package, in the clone
PORT = 8765


def main(arguments: list[str] | None = None) -> int:
    """Serve or write the page; the exit status is 1 if that cannot be."""
    parser = argparse.ArgumentParser(
        prog="worldmodels page",
        description="A page in the browser: the agent drives and dreams, its latents can be moved.",
    )
    parser.add_argument(
        "--models", metavar="FOLDER", help="default: those of evaluation.round in params.yaml"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write one HTML file instead")
    parser.add_argument(
        "--follow", action="store_true", help="drive with the mean of a running evolution"
    )
    parser.add_argument(
        "--port",
        default=PORT,
        type=integer(1, 65535),
        help=f"the first that is tried; default: {PORT}",
    )
    parser.add_argument("--no-browser", action="store_true", help="say the address, open nothing")
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except WorldModelsError as error:
        print(f"page: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.follow and (options.write or options.models):
        other = "--write" if options.write else "--models"
        raise WorldModelsError(f"--follow: expected a running evolution's models, got {other} too")
    manifest, weights = export_weights(_folder(options))
    if options.write:
        require_writable(options.write)
        with atomic_write(options.write) as temporary:
            temporary.write_text(single_file(PAGE, manifest, weights))
        print(f"page: wrote {options.write}, {options.write.stat().st_size / 1e6:.1f} MB")
        return 0
    manifest["follow"] = options.follow
    server = PageServer(
        PAGE,
        port=options.port,
        manifest=manifest,
        weights=weights,
        controller=_newest_controller if options.follow else None,
    )
    with server:
        print(f"page: {server.address} until you press Ctrl-C", flush=True)
        if not options.no_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _folder(options: argparse.Namespace) -> str:
    """Of the models that the page shows."""
    if not options.follow:
        return options.models or f"models/{load_group('evaluation', EvaluationParams).round}"
    return evolution_to_follow().models


def _newest_controller() -> dict[str, Any] | None:
    """The mean of the evolution that runs now, and when it was written; None where none runs."""
    evolution = running_evolution()
    if evolution is None:
        return None
    version = evolution.mean.stat().st_mtime_ns
    weights = LinearController.load(evolution.mean).weights
    return {"version": version, "weights": weights.ravel().tolist()}


if __name__ == "__main__":
    raise SystemExit(main())
