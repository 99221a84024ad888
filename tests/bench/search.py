"""How many strategies a search decides and prices a second: `python -m tests.bench.search [STRATEGIES]`.

DeepSeek-V3 on up to 64 H100 (`examples/01-deepseek-v3-64-gpus.moe`), one batch, phases on the same GPUs. The whole
space is searched by one process and then by two, each from nothing, on the wall. Then a random sample, seeded, of what
that search priced is priced again, and one of all that fits by weights: each strategy by itself, then sharing
templates, then once more with all templates known and no schedule. Those seconds are the processor's, so that other
work counts less.
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
from typing import Any

from dagc.driver.front import stated
from dagc.driver.judging import Judge
from dagc.driver.pricing import Pricer
from dagc.driver.searching import Wish, search
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search.candidate import Candidate, ServicePlan
from dagc.search.content import content_key
from dagc.search.families import Families
from dagc.search.record import Record, begin
from dagc.search.space import Space
from dagc.search.spelling import spell
from dagc.source import Source
from tests.harness.places import ROOT

PLAN = ROOT / "examples" / "01-deepseek-v3-64-gpus.moe"

Named = tuple[str, int]


def main(number: int) -> None:
    """Print the table."""
    facts = _facts()
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory) / "record"
        one, two = (_whole(workers, record if workers == 1 else None) for workers in (1, 2))
        known = begin(record, content_key(facts, version("moe-dagc")))
    print(f"decided {one['decided']:,} in {one['seconds']:.1f} s; {one['counts']}")
    same = "the same" if one["front"] == two["front"] else "ANOTHER"
    print(f"two processes: {two['seconds']:.1f} s, {one['seconds'] / two['seconds']:.2f} times, {same} front")
    if isinstance(known, Record):
        _price("what the search priced", facts, sorted(known.known), number)
    _price("what fits by weights", facts, _fitting(facts), number)


def whole(workers: int, record: Path | None) -> dict[str, Any]:
    """Search the whole space; what came of it, and seconds on the wall."""
    start = time.perf_counter()
    outcome = search(_source(), (), Path(), Wish(workers=workers, resume=record), lambda *_: None)
    seconds = time.perf_counter() - start
    assert outcome.result is not None
    counts = outcome.result.counts
    front = [entry.strategy for entry in outcome.result.front]
    return {"decided": counts.generated, "seconds": seconds, "counts": str(counts), "front": front}


def _whole(workers: int, record: Path | None) -> dict[str, Any]:
    """The same in a process of its own, which knows nothing yet."""
    command = [sys.executable, "-m", "tests.bench.search", "whole", str(workers), *([str(record)] if record else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _price(what: str, facts: Facts, named: Sequence[Named], number: int) -> None:
    sample = random.Random(1).sample(named, min(number, len(named)))
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    cold = _seconds(lambda: [Judge("cold", Pricer(facts)).verdict(*one) for one in sample])
    judge = Judge("fresh", Pricer(facts))
    shared = _seconds(lambda: judge.verdicts(sample))
    judge.pricer.forget_times()
    warm = _seconds(lambda: judge.verdicts(sample))
    rates = [f"{len(sample) / seconds:,.0f}/s" for seconds in (cold, shared, warm)]
    print(f"{what}, {len(named):,}: priced in full, each alone {rates[0]}, sharing templates {rates[1]}, "
          f"with all templates known {rates[2]}")  # fmt: skip


def _source() -> Source:
    return Source(str(PLAN), PLAN.read_text(encoding="utf-8"))


def _facts() -> Facts:
    known = stated(_source(), (), Path(), [])
    assert known is not None
    return known[1]


def _fitting(facts: Facts) -> list[Named]:
    """All that no rule refuses and whose weights fit."""
    batch, judge = facts.workload.batch, Judge("fitting", Pricer(facts))
    space = Space(64, (batch,), 61, 256, has_shared=True)
    found: list[Named] = []
    for shape in Families(space, judge.refusal, batch).shapes():
        candidates = [Candidate((ServicePlan(shape, one),), batch) for one in space.options(shape, Phase.BOTH, batch)]
        if judge.weight_share(candidates[0]) <= 1:
            found += [(spell(one), batch) for one in candidates]
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    if sys.argv[1:2] == ["whole"]:
        print(json.dumps(whole(int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
