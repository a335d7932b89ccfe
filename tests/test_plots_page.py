"""The page of `dvc plots` draws without a network, as .dvc/config has it made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from project import BIN, ROOT

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DVC_YAML = """\
plots:
  - curve:
      x: epoch
      y: {curve.csv: loss}
  - picture.png
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small project with this one's settings: a curve and a picture."""
    folder = tmp_path_factory.mktemp("plots")
    shutil.copytree(
        ROOT / ".dvc",
        folder / ".dvc",
        ignore=shutil.ignore_patterns("tmp", "cache", "config.local"),
    )
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "curve.csv").write_text("epoch,loss\n1,3\n2,1\n")
    shutil.copy(ROOT / "metrics" / "drive.png", folder / "picture.png")
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / "site")}
    for command in (("config", "--local", "core.no_scm", "true"), ("plots", "show")):
        subprocess.run([BIN / "dvc", *command], cwd=folder, env=environment, check=True)
    return folder / "dvc_plots" / "index.html"


def test_the_page_of_plots_has_its_scripts_in_it(page: Path) -> None:
    assert re.findall(r"<script\b[^>]*\bsrc\b[^>]*>", page.read_text()) == []


@pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed: it shows the page; apt install chromium"
)
def test_the_page_of_plots_draws_its_charts_offline(page: Path) -> None:
    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_context(offline=True).new_page()
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(page.as_uri())
        shown.wait_for_selector(".vega-embed canvas")
        assert shown.evaluate("[...document.images].map((image) => image.naturalWidth > 0)") == [
            True
        ]
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
