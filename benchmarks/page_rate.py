"""How fast the page is in headless Chromium, mode by mode.

`make page && python -m benchmarks.page_rate page.html`: steps a second by the page's own count, and
the time of a step with its pictures.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from statistics import mean, median

from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SETTLE, MEASURED = 3, 10  # seconds
KEEP_TIMES = """
() => {
  const { clock } = page;
  const [step, draw] = [clock.step, clock.draw];
  let spent = 0;
  const timed = (does) => {
    const from = performance.now();
    does();
    spent += performance.now() - from;
  };
  page.times = [];
  clock.step = () => timed(step);
  clock.draw = () => {
    timed(draw);
    page.times.push(spent);
    spent = 0;
  };
}
"""


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(Path(sys.argv[1]).resolve().as_uri())
        page.wait_for_function("globalThis.page")
        page.evaluate(KEEP_TIMES)
        for mode in ("agent", "latents", "dream", "drive"):
            page.click(f"[data-mode={mode}]")
            if mode == "drive":
                page.keyboard.down("ArrowUp")  # the race waits for that
            page.wait_for_timeout(1000 * SETTLE)
            page.evaluate("page.times = []")
            rates = []
            for _ in range(MEASURED):
                page.wait_for_timeout(1000)
                rates.append(page.evaluate("page.clock.rate"))
            milliseconds = median(page.evaluate("page.times"))
            print(f"{mode:8} {mean(rates):.0f} steps a second, {milliseconds:.1f} ms a step")
        browser.close()


if __name__ == "__main__":
    main()
