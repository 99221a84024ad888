"""How many strategies a search decides and prices a second: `python -m tests.bench.search [STRATEGIES]`.

DeepSeek-V3 on 64 H100 (`examples/01-deepseek-v3-64-gpus.moe`). Generating, refusing and first bounds are timed over
the whole space; precise bounds and prices over a random sample of what fits by weights, seeded, each strategy at first
and then once more with what templates have in common. Seconds are those of the processor, so that other work on the
machine counts less.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from dagc.driver.computing import Computing
from dagc.driver.front import stated
from dagc.driver.judging import Judge
from dagc.driver.pricing import Pricer
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search.bounding import Bounding
from dagc.search.candidate import Candidate, ServicePlan
from dagc.search.families import Families
from dagc.search.space import Space
from dagc.search.spelling import spell
from dagc.source import Source
from tests.harness.places import ROOT

PLAN = ROOT / "examples" / "01-deepseek-v3-64-gpus.moe"
Result = TypeVar("Result")


def main(number: int) -> None:
    """Print the table."""
    facts = _facts()
    judge = Judge("bench", Pricer(facts))
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    (candidates, families), seconds = _timed(lambda: _fitting(facts, judge))
    refused = families.refused.total()
    print(f"generated {families.generated:,}, refused {refused:,}, weights too large "
          f"{families.generated - refused - len(candidates):,}: {families.generated / seconds:,.0f}/s")  # fmt: skip
    bounding = Bounding(facts, Computing(facts, judge.parts).least, judge.least)
    table, seconds = _timed(lambda: bounding.table(candidates, lambda _: None))
    count, missed = len(candidates), np.count_nonzero(table.misses)
    print(f"first bounds {count / seconds:,.0f}/s, of which {missed:,} of {count:,} miss a requirement")
    chosen = random.Random(1).sample(range(count), number)
    sample = [candidates[i] for i in chosen]
    _, seconds = _timed(lambda: bounding.refine(table, np.array(chosen)))
    print(f"precise bounds {number / seconds:,.0f}/s")
    named = [(spell(one), one.batch) for one in sample]
    _, cold = _timed(lambda: [Judge("cold", Pricer(facts)).verdict(*one) for one in named])
    fresh = Judge("fresh", Pricer(facts))
    _, shared = _timed(lambda: fresh.verdicts(named))
    fresh.pricer.forget_times()
    _, warm = _timed(lambda: fresh.verdicts(named))
    print(f"priced in full, each alone {number / cold:,.1f}/s, sharing templates {number / shared:,.1f}/s, "
          f"with all templates known {number / warm:,.1f}/s")  # fmt: skip
    _pool(facts, named)


def _pool(facts: Facts, named: Sequence[tuple[str, int]]) -> None:
    pieces = [named[i : i + 16] for i in range(0, len(named), 16)]
    start = time.perf_counter()
    Judge("one", Pricer(facts)).verdicts(named)
    one = time.perf_counter() - start
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(len, [named, named]))
        start = time.perf_counter()
        list(pool.map(Judge("two", Pricer(facts)).verdicts, pieces))
        two = time.perf_counter() - start
    print(f"on the wall: one process {one:.1f} s, two {two:.1f} s, {one / two:.2f} times")


def _facts() -> Facts:
    known = stated(Source(str(PLAN), PLAN.read_text(encoding="utf-8")), (), Path(), [])
    assert known is not None
    return known[1]


def _fitting(facts: Facts, judge: Judge) -> tuple[list[Candidate], Families]:
    space = Space(64, (facts.workload.batch,), 61, 256, has_shared=True)
    batch = facts.workload.batch
    families = Families(space, judge.refusal, batch)
    found: list[Candidate] = []
    for shape in families.shapes():
        first = True
        for options in space.options(shape, Phase.BOTH, batch):
            candidate = Candidate((ServicePlan(shape, options),), batch)
            if first and judge.weight_share(candidate) > 1:
                break
            first = False
            found.append(candidate)
    return found, families


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
