"""What a search answers in a minute: `python -m tests.bench.search_questions [SECONDS] [NAME...]`.

The questions of `tests/data/questions`, each in one process and for so many of the processor's seconds (60), so that
other work on the machine counts less: a search looks at that clock in place of the one on the wall. Printed are the
seconds until the first plan that meets the requirements and until the best, the best plan with what it is best by, and
how much better a plan can be that was not priced; of a question without an answer, what would do.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass, field

from dagc.driver.search import SearchOptions, search
from dagc.results.search_result import SearchResult
from dagc.search import budget
from dagc.source import Source
from tests.harness.places import ROOT

QUESTIONS = ROOT / "tests" / "data" / "questions"


@dataclass
class _Watch:
    """When a plan was first found, and when the best was."""

    begun: float = field(default_factory=time.process_time)
    first: float | None = None
    last: float | None = None
    best: str = ""

    def tell(self, what: str) -> None:
        _, found, strategy = what.partition("best so far ")
        if found and strategy != self.best:
            self.best, self.last = strategy, time.process_time() - self.begun
            self.first = self.first or self.last


def main(seconds: float, names: list[str]) -> None:
    """Print a row for each question."""
    gc.disable()
    budget.time.monotonic = time.process_time
    for path in sorted(QUESTIONS.glob("*.moe")):
        if not names or any(path.stem.startswith(name) for name in names):
            watch = _Watch()
            options = SearchOptions(over=frozenset({"phase-pools"}), seconds=seconds)
            source = Source(str(path), path.read_text(encoding="utf-8"))
            result = search(source, (), path.parent, options, watch.tell).result
            assert result is not None
            print(f"{path.stem}: {_row(result, watch)}, {time.process_time() - watch.begun:.0f} s in all", flush=True)


def _row(result: SearchResult, watch: _Watch) -> str:
    (proof,) = result.proofs
    if not result.front:
        would = "; ".join(f"{one.what} {one.needed}: `{one.strategy}`" for one in result.relaxations)
        return f"{'proven: ' if proof.is_proven else ''}no plan; would do: {would}"
    best = result.front[0]
    gap = "unknown" if proof.gap is None else f"{proof.gap * 100:.1f} %"
    rate = best.figures["throughput_per_gpu"] or 0.0
    first, last = (0.0 if one is None else one for one in (watch.first, watch.last))
    return (
        f"first {first:.1f} s, best {last:.1f} s: `{best.strategy}`, {rate:.0f} tokens/s/GPU, gap {gap}, "
        f"{result.budget.evaluations:,} evaluations"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, sys.argv[2:])
