"""How many strategies a search decides and prices a second: `python -m tests.bench.search [STRATEGIES]`.

`python -m tests.bench.search gaps [SECONDS...]` prints the gap after so many of the processor's seconds (10 and 60) on
64 and on 1,024 GPUs.

DeepSeek-V3 on 64 H100 (`examples/01-deepseek-v3-64-gpus.moe`), one batch, phases on the same GPUs. The same number of
bounds and prices is asked for by one process and then by two, each from nothing, on the wall. Then a random sample,
seeded, of what that search priced is priced again, and one of all that fits by weights: each strategy by itself, then
sharing templates, then some times more with all templates known. Those seconds are the processor's, so that other
work counts less. There is no garbage collector, as in the command.
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from dagc.driver.front import read_plan
from dagc.driver.pricing import Judge
from dagc.driver.search import SearchOptions, search
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search import budget
from dagc.search.candidate import Candidate, ServicePlan, spell
from dagc.search.checkpoint import Checkpoint, Named, begin, content_key
from dagc.search.space import Families, Space
from dagc.source import Source
from tests.harness.places import ROOT

PASSES = 9
"""How often strategies are priced whose templates are known; the middle and the best pass are printed."""

PLAN = ROOT / "examples" / "01-deepseek-v3-64-gpus.moe"

EVALUATIONS = 20_000
"""Bounds and prices that the search may ask for."""


def main(number: int) -> None:
    """Print the table."""
    facts = _facts()
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory) / "record"
        one, first = _search(Path(directory) / "one", "--workers", "1", "--resume", str(record))
        two, second = _search(Path(directory) / "two", "--workers", "2")
        known = begin(record, content_key(facts, version("moe-dagc")))
    (proof,) = first["proofs"]
    members = sum(family["members"] for family in proof["families"])
    spent = first["budget"]["evaluations"]
    print(f"one process: {members:,} strategies in {one:.1f} s, gap {proof['gap']}, {spent / one:,.0f} evaluations/s")
    same = "the same result" if first == second else "ANOTHER RESULT"
    print(f"two processes: {two:.1f} s, {one / two:.2f} times, {same}")
    if isinstance(known, Checkpoint):
        _price("what the search priced", facts, sorted(known.known), number)
    _price("what fits by weights", facts, _fitting(facts), number)


GAPS = """model deepseek-v3
cluster h200-sxm x {gpus}
workload {{ concurrency {concurrency}    prompt 4096    output 1024 }}
require {{ tpot <= 30 ms }}
"""


def gaps(seconds: Sequence[float]) -> None:
    """Print the gap after each number of seconds, of a search that looks at the processor's clock."""
    gc.disable()
    budget.time.monotonic = time.process_time
    for gpus in (64, 1024):
        source = Source("question", GAPS.format(gpus=gpus, concurrency=16 * gpus))
        for limit in seconds:
            options = SearchOptions(over=frozenset({"phase-pools"}), seconds=limit)
            result = search(source, (), Path(), options, lambda _: None).result
            assert result is not None
            (proof,) = result.proofs
            gap = "unknown" if proof.gap is None else f"{100 * proof.gap:.1f} %"
            print(f"{gpus:,} GPUs after {limit:.0f} s: `{proof.best}`, gap {gap}", flush=True)


def _search(directory: Path, *options: str) -> tuple[float, dict[str, Any]]:
    """Seconds of the command on the wall, start-up included, and its result."""
    command = [sys.executable, "-m", "dagc", "search", str(PLAN), "--over", "none", "--most", str(EVALUATIONS)]
    command += ["-o", str(directory), *options]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    seconds = time.perf_counter() - start
    (written,) = directory.rglob("search.json")
    return seconds, json.loads(written.read_text(encoding="utf-8"))


def _price(what: str, facts: Facts, named: Sequence[Named], number: int) -> None:
    sample = random.Random(1).sample(named, min(number, len(named)))
    gc.disable()
    cold = _seconds(lambda: [Judge("cold", facts).verdicts([one]) for one in sample])
    judge = Judge("fresh", facts)
    shared = _seconds(lambda: judge.verdicts(sample))
    warm = [_seconds(lambda: judge.verdicts(sample)) for _ in range(PASSES)]
    rates = [f"{len(sample) / seconds:,.0f}/s" for seconds in (cold, shared, median(warm), min(warm))]
    print(f"{what}, {len(named):,}: priced in full, each alone {rates[0]}, sharing templates {rates[1]}, "
          f"with all templates known {rates[2]}, in the best of {PASSES} passes {rates[3]}")  # fmt: skip


def _facts() -> Facts:
    known = read_plan(Source(str(PLAN), PLAN.read_text(encoding="utf-8")), (), Path(), [])
    assert known is not None
    return known[1]


def _fitting(facts: Facts) -> list[Named]:
    """All that no rule refuses and whose weights fit."""
    batch, judge = facts.workload.batch, Judge("fitting", facts)
    space = Space(64, (batch,), 61, 256, has_shared=True)
    found: list[Named] = []
    for shape in Families(space, judge.refusals, batch).shapes():
        candidates = [Candidate((ServicePlan(shape, one),), batch) for one in space.options(shape, Phase.BOTH, batch)]
        if judge.weight_share(candidates[0]) <= 1:
            found += [(spell(one), batch) for one in candidates]
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    if sys.argv[1:2] == ["gaps"]:
        gaps([float(one) for one in sys.argv[2:]] or [10.0, 60.0])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
