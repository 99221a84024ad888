"""The bound of what was not enumerated is checked: it follows from its numbers, and no strategy yields more than these.

Written from the definitions of the record alone. A pair on p and d GPUs yields no more requests a second than p times
what a GPU that prefills does and d times what one that decodes does, under the sequences that each has where all run;
a service for both phases on G no more than G times its own. Whatever the numbers are, a plan may yield the floor, and
nothing more than its GPUs multiply at their peak. Of each number the strategy whose ranks are cut as those of the bound
is compiled: it yields no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isclose

from dagc.catalog.parameters import layer_parameters
from dagc.catalog.part import Part
from dagc.plan.plan import Facts
from dagc.results.proof import NotEnumeratedRecord, Proof, YieldRecord

Path = tuple[str | int, ...]
"""Keys and places from the document down to a value."""

Wrong = tuple[Path, str]
"""Where something is wrong, and what."""

CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling a strategy under a batch says: its GPUs, and its figures by name, None where it does not fit."""

    gpus: int
    figures: Mapping[str, float | None] | None
    memory_share: float | None
    misses: tuple[str, ...]


Compile = Callable[[str, int], Compiled | str]
"""Takes a strategy and a batch to what compiling says, or to the code of what refuses it."""


_NO_SCORE = 1e-300
"""Scores are seconds a token and far below a difference that other numbers may have: only zeros are alike."""


def is_same(one: float | None, other: float | None, abs_tol: float = 1e-12) -> bool:
    """Whether two numbers of a record are the same but for rounding."""
    if one is None or other is None:
        return one is other
    return isclose(one, other, rel_tol=CLOSE, abs_tol=abs_tol)


@dataclass(frozen=True, slots=True)
class YieldCheck:
    """The bound of what was not enumerated, of a search of these sizes and cells; `score` is what the objective makes
    least.
    """

    facts: Facts
    proof: Proof
    sizes: Sequence[int]
    cells: Sequence[tuple[int, int]]
    compile: Compile
    score: Callable[[float, float, float, float], float]

    def wrong(self, path: Path) -> Iterator[Wrong]:
        """Everything that is wrong with it."""
        one = self.proof.not_enumerated
        if one is None:
            return
        best = min(map(self._of, [(size,) for size in one.sizes] + [tuple(cell) for cell in one.cells]), default=None)
        if not is_same(best, one.score, _NO_SCORE):
            yield (*path, "score"), f"its numbers allow {best}"
        every = min(map(self._of, [*((size,) for size in self.sizes), *self.cells])) if one.yields else None
        if not is_same(every, one.score_by_yields, _NO_SCORE):
            yield (*path, "score_by_yields"), f"its numbers allow {every}"
        before: YieldRecord | None = None
        for number, row in enumerate(one.yields):
            at = (*path, "yields", number)
            if before and before.phase == row.phase and before.sequences > row.sequences:
                yield (*at, "sequences"), "fewer sequences come after more"
            if before and before.phase == row.phase and before.requests > row.requests:
                yield (*at, "requests"), "fewer sequences yield more"
            before = row
            yield from self._above(row, at)
        yield from self._best(one, path)

    def _of(self, gpus: tuple[int, ...]) -> float:
        """The best score of a size, or of a cell."""
        one, whole, output = self.proof.not_enumerated, sum(gpus), self.facts.workload.output
        tokens = whole * self._peak()
        if one and one.yields and one.floor is not None:
            if len(gpus) == 1:
                requests = whole * max(one.floor, self._yield(one, "both", whole))
            else:
                first, last = (
                    gpus[0] * self._yield(one, "prefill", gpus[0]),
                    gpus[1] * self._yield(one, "decode", gpus[1]),
                )
                requests = min(first, max(last, one.floor * max(self.sizes)))
            tokens = min(tokens, output * requests)
        return self.score(whole, 0.0, 0.0, tokens)

    def _yield(self, one: NotEnumeratedRecord, phase: str, gpus: int) -> float:
        rows = [row for row in one.yields if row.phase == phase]
        load = self.proof.batch / gpus * (1 - CLOSE)
        return next((row.requests for row in rows if row.sequences >= load), rows[-1].requests if rows else inf)

    def _above(self, row: YieldRecord, path: Path) -> Iterator[Wrong]:
        """The price of the strategy of a number yields no more."""
        found = self.compile(row.strategy, row.batch)
        if isinstance(found, str):
            yield (*path, "strategy"), f"`{row.strategy}` is refused by {found}"
            return
        if row.phase == "both" and found.gpus != row.gpus:
            yield (*path, "gpus"), f"`{row.strategy}` takes {found.gpus} GPUs, not {row.gpus}"
        if row.batch > row.sequences * row.gpus * (1 + CLOSE):
            yield (*path, "batch"), f"{row.batch:,} sequences on {row.gpus} GPUs are more than are bounded"
        rate = ((found.figures or {}).get("throughput") or 0.0) / self.facts.workload.output / row.gpus
        if not found.misses and rate > max(row.requests, self._floor) * (1 + CLOSE):
            yield (*path, "requests"), f"`{row.strategy}` yields {rate:.9g}"

    @property
    def _floor(self) -> float:
        return (self.proof.not_enumerated and self.proof.not_enumerated.floor) or 0.0

    def _best(self, one: NotEnumeratedRecord, path: Path) -> Iterator[Wrong]:
        """The best plan of the proof is no better than what its own size may be, by any division of its GPUs."""
        if self.proof.best is None or not one.yields:
            return
        found = self.compile(self.proof.best, self.proof.batch)
        if isinstance(found, str) or found.figures is None:
            return
        cells = [(p, found.gpus - p) for p in range(1, found.gpus)]
        most = min([self._of((found.gpus,)), *map(self._of, cells)])
        if (self.proof.score or inf) < most * (1 - CLOSE):
            yield (*path, "yields"), f"`{self.proof.best}` yields more than its GPUs may"

    def _peak(self) -> float:
        """Output tokens a second of a GPU that multiplies at its peak: two operations for each parameter and token,
        but for norms and biases, which are less than a hundredth.
        """
        shapes, workload = self.facts.model.shapes(), self.facts.workload
        if shapes is None:
            return inf
        used = 0.0
        for kind in shapes.layer_kinds():
            parts = layer_parameters(shapes, kind)
            used += sum(parts.get(part, 0) for part in (Part.ATTENTION, Part.DENSE_FFN, Part.SHARED_EXPERTS))
            experts = shapes.experts
            used += parts.get(Part.EXPERTS, 0) * experts.top / experts.count if experts else 0.0
        tokens = workload.fresh + (workload.output - 1) / workload.tokens_per_step
        return workload.output * max(self.facts.cluster.device.flops.values()) / (2 * used * 0.99 * tokens)
