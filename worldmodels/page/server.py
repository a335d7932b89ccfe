"""Serves the page on the loopback address. Read `PageServer`."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from worldmodels.core.errors import WorldModelsError

LOOPBACK = "127.0.0.1"
PORTS = 100  # that are tried, from the one that is asked for on

Controller = Callable[[], dict[str, Any] | None]


class PageServer(ThreadingHTTPServer):
    """The files of the page, and models that are computed once.

    Args:
        folder: of the page.
        port: the first that is tried; busy ones are passed over.
        manifest, weights: what `export_weights` returns.
        controller: the newest controller of a running evolution and its version; None where the
            page follows none.

    Raises:
        WorldModelsError: all `PORTS` are busy.
    """

    daemon_threads = True

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        manifest: dict[str, Any],
        weights: bytes,
        controller: Controller | None = None,
    ) -> None:
        self.folder = folder
        self.models = {
            "/models.json": ("application/json", json.dumps(manifest).encode()),
            "/models.bin": ("application/octet-stream", weights),
        }
        self.controller = controller
        for candidate in range(port, min(port + PORTS, 65536)):
            try:
                super().__init__((LOOPBACK, candidate), _Handler)
                return
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
        raise WorldModelsError(
            f"--port: expected a free one from {port} to {port + PORTS - 1}, all are busy; "
            "name another"
        )

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    server: PageServer
    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",  # Windows may call it something that browsers refuse
    }

    def __init__(self, *arguments: Any) -> None:
        server: PageServer = arguments[-1]
        super().__init__(*arguments, directory=str(server.folder))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.server.models:
            self._send(*self.server.models[path])
        elif path == "/controller.json" and self.server.controller:
            newest = self.server.controller()
            self._send("application/json", json.dumps(newest).encode())
        else:
            super().do_GET()

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""
