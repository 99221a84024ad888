"""How long pricing one strategy takes in a warm process, from parsed plan to summary, as a ratio to imports.

Prints a table: `python -m tests.bench.warm`. DeepSeek-V3 on 64 and on 2,048 GPUs with even load; no files.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time

from dagc.driver import check as driver
from dagc.driver.check import silent
from dagc.driver.strategies import price_plan
from dagc.results.assemble import summarize
from dagc.source import Source
from tests.bench.startup import BASELINE

PLANS = {"64 GPUs": "pp 4 < ep 16 ; tp 2 >", "2,048 GPUs": "pp 8 < ep 256 ; tp 4 >", "2,048 dp": "dp 8 < ep 256 >"}
REPEATS = 10


def _import_seconds() -> float:
    least = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", BASELINE], check=True)
        least = min(least, time.perf_counter() - start)
    return least


def priced_seconds(strategy: str) -> float:
    """The least of some runs: from the plan, whose text is parsed once before, to the summary."""
    text = "model deepseek-v3\ncluster h100-sxm\nworkload { batch 4096 prompt 512 output 128 }\n"
    (checked,) = driver.check(Source("plan.moe", f"{text}strategy a = {strategy}\n")).checked
    least = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        priced = price_plan(checked.plan, [], silent)
        summarize(checked.plan, priced.assessment, ())
        least = min(least, time.perf_counter() - start)
    return least


def main() -> None:
    """Measure and print, without a collector as the program."""
    gc.disable()
    imports = _import_seconds()
    first = None
    print(f"warm pricing, plan to summary; importing the packages takes {imports * 1e3:.0f} ms")
    for name, strategy in PLANS.items():
        seconds = priced_seconds(strategy)
        first = first or seconds
        print(
            f"{name:12} {strategy:24} {seconds * 1e3:8.2f} ms {seconds / imports:8.3f} x imports "
            f"{seconds / first:6.2f} x 64 GPUs"
        )


if __name__ == "__main__":
    main()
