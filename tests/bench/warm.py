"""How much CPU time pricing one strategy takes in a warm process, from parsed plan to summary, as a ratio to imports.

Prints a table: `python -m tests.bench.warm`. DeepSeek-V3 on 64 and on 2,048 GPUs with even load, and with skewed
routing; no files. Of each plan as the first under its facts, and with the prices of templates known from another
strategy.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from dataclasses import replace

from dagc.driver import check as driver
from dagc.driver.check import silent
from dagc.driver.strategies import price_plan
from dagc.results.assemble import summarize
from dagc.source import Source
from tests.bench.startup import BASELINE

PLANS = {
    "64 GPUs": ("pp 4 < ep 16 ; tp 2 >", ""),
    "2,048 GPUs": ("pp 8 < ep 256 ; tp 4 >", ""),
    "2,048 dp": ("dp 8 < ep 256 >", ""),
    "skewed": ("pp 8 [micro 64] < ep 256 >", " routing zipf 1"),
}
"""Strategy and load; the last one has 256 times for each of some 20,000 steps."""

REPEATS = 20


def _import_seconds() -> float:
    least = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", BASELINE], check=True)
        least = min(least, time.perf_counter() - start)
    return least


def priced_seconds(strategy: str, load: str, is_first: bool) -> float:
    """The least of some runs: from the plan, whose text is parsed once before, to the summary."""
    text = f"model deepseek-v3\ncluster h100-sxm\nworkload {{ batch 4096 prompt 512 output 128{load} }}\n"
    (checked,) = driver.check(Source("plan.moe", f"{text}strategy a = {strategy}\n")).checked
    plan, least = checked.plan, float("inf")
    for _ in range(REPEATS):
        if is_first:
            # Prices are found by the identity of the model.
            plan = replace(plan, facts=replace(plan.facts, model=replace(plan.facts.model)))
        start = time.process_time()
        priced = price_plan(plan, [], silent)
        summarize(plan, priced.assessment, ())
        least = min(least, time.process_time() - start)
    return least


def main() -> None:
    """Measure and print, without a collector as the program."""
    gc.disable()
    imports = _import_seconds()
    known: float | None = None
    print(f"warm pricing, plan to summary; importing the packages takes {imports * 1e3:.0f} ms")
    for name, (strategy, load) in PLANS.items():
        first, seconds = (priced_seconds(strategy, load, is_first) for is_first in (True, False))
        known = known or seconds
        print(
            f"{name:12} {strategy:26} first {first * 1e3:6.2f} ms, templates known {seconds * 1e3:6.2f} ms "
            f"{seconds / imports:8.3f} x imports {seconds / known:6.2f} x 64 GPUs"
        )


if __name__ == "__main__":
    main()
