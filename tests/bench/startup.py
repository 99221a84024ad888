"""How long a command takes from a new process, as a ratio to importing the libraries that it stands on.

Prints a table: `python -m tests.bench.startup [RUNS]`. Each run is a new process. Files are in the machine's cache,
dagc's own cache directory is kept from run to run; `first` is one run with that directory empty. Rounds alternate
between the commands, so that a busy moment of the machine spoils all of them alike. Assumes that dagc is installed in
this environment.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.places import EXAMPLES, ROOT
from tests.harness.shell import RUN_DAGC

BASELINE = "import lark, pydantic, numpy, networkx"
LIMITS = {"check": 2.5, "compile": 5.0}
FIRST_LIMIT = 2.0
"""Goals: a command against the baseline, and its first run against the same with a warm cache."""


def deepseek_plan() -> Path:
    """The example of DeepSeek-V3 on 64 GPUs."""
    plans = [path for path in sorted(EXAMPLES.glob("*deepseek*.moe")) if "pp 4 < ep 16 ; tp 2 >" in path.read_text()]
    if not plans:
        raise SystemExit("no DeepSeek example with `pp 4 < ep 16 ; tp 2 >`")
    return plans[0]


def seconds(command: list[str], cache: Path, cwd: Path) -> float:
    """Wall-clock time of one process with its cache directory. A plan may have errors; a crash ends the benchmark."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise SystemExit(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return taken


def measure(commands: dict[str, list[str]], runs: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """First run of each command with an empty cache directory of its own, and `runs` further ones, in seconds."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        seconds(commands["baseline"], work / "warm-up", work)
        rounds = [
            {name: seconds(command, work / name, work) for name, command in commands.items()} for _ in range(1 + runs)
        ]
    return rounds[0], {name: [times[name] for times in rounds[1:]] for name in commands}


def main(runs: int = 10) -> None:
    """Measure and print."""
    plan = str(deepseek_plan())
    dagc = [sys.executable, "-c", RUN_DAGC]
    commands = {
        "baseline": [sys.executable, "-c", BASELINE],
        "check": [*dagc, "check", plan],
        "compile": [*dagc, "compile", plan, "-o", "out"],
    }
    first, warm = measure(commands, runs)
    baseline = min(warm["baseline"])
    table = [["", "min ms", "median ms", "x baseline", "goal", "first ms", "x warm", "goal"]]
    for name, times in warm.items():
        row = [name, f"{min(times) * 1e3:.0f}", f"{statistics.median(times) * 1e3:.0f}", f"{min(times) / baseline:.2f}"]
        if name in LIMITS:
            again = first[name] / min(times)
            row += [f"{LIMITS[name]:.1f}", f"{first[name] * 1e3:.0f}", f"{again:.2f}", f"{FIRST_LIMIT:.1f}"]
        table.append(row)
    print(f"{plan}, {runs} runs")
    for row in table:
        print("".join([f"{row[0]:9}", *(f"{cell:>12}" for cell in row[1:])]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
