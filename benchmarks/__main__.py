"""`make bench`: runs every benchmark in a process of its own, prints a table, and writes
benchmarks/results.json and benchmarks/results.png."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import machine
from benchmarks.measure import Rates, median_ratio
from benchmarks.picture import draw

RESULTS = Path("benchmarks/results.json")
PICTURE = Path("benchmarks/results.png")
BENCHMARKS = ("simulators", "encoder", "closed_loop", "shares", "training")


def run(name: str) -> Any:
    """What a benchmark measured."""
    print(f"bench: {name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(ended.stdout.splitlines()[-1])


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| | frames a second | against gym | against EnvPool |", "|---|---|---|---|"]
    for title, rates in sections(results).items():
        lines.append(f"| **{title}** | | | |")
        for name, values in rates.items():
            ratios = [
                f"{median_ratio(rates, name, to):.1f} x" if to in rates else ""
                for to in ("gym", "EnvPool")
            ]
            lines.append(f"| {name} | {median(values):,.0f} | {ratios[0]} | {ratios[1]} |")
    lines += ["", "| closed loop, share of the time | |", "|---|---|"]
    lines += [f"| {part} | {100 * share:.0f} % |" for part, share in results["shares"].items()]
    return "\n".join(lines)


def sections(results: dict[str, Any]) -> dict[str, Rates]:
    """What was measured side by side, by its title."""
    return {
        **results["simulators"],
        "V's encoder, one core": results["encoder"],
        "closed loop: simulator, V, M and C": results["closed_loop"],
        "training (M: steps of an episode a second)": results["training"],
    }


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args(arguments)
    results = {"machine": machine(), **{name: run(name) for name in BENCHMARKS}}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    draw(sections(results), results["shares"], PICTURE)
    print(results["machine"])
    print(table(results))


if __name__ == "__main__":
    main()
