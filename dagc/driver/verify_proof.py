"""The numbers of a proof are checked: what was counted, what was bounded, and that nothing is missing.

Written from the definitions of the record alone. Families are the ways to write a number of GPUs as replicas of
stages of ranks; the strategies of a family are counted by dividing its ranks for attention and for experts and by
what is tried of micro-batches and overlap; a cell has the pairs of its services. A witness is no better than the best
plan, and no better than the price of its own strategy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf, isclose
from typing import Any, cast

from dagc.driver.verify_yields import Compile, Compiled, Path, Wrong, YieldCheck, is_same
from dagc.plan.plan import Facts
from dagc.plan.workload import Figure, Per
from dagc.results.proof import CellRecord, FamilyRecord, MissRecord, Proof, ServicesRecord, WitnessRecord
from dagc.results.search_result import SearchResult


def lines(document: Any) -> dict[Path, int]:
    """The line, from 1 on, on which the value of each path begins."""
    return dict(_lines((), document, [1]))


def _lines(path: Path, value: Any, at: list[int]) -> Iterator[tuple[Path, int]]:
    """`at` is the line of the value; it is that of its end afterwards."""
    yield path, at[0]
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = cast("dict[str | int, Any]", value).items()
    elif isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
    is_empty = True
    for key, held in items:
        is_empty = False
        at[0] += 1
        yield from _lines((*path, key), held, at)
    if not is_empty:
        at[0] += 1


RECOUNTED = frozenset({"phase-pools"})
"""Coordinates beside those that are always searched under which strategies are counted here too."""

MOST_MICRO = 64

CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """One proof of a result, of the facts that it was searched under."""

    result: SearchResult
    facts: Facts
    proof: Proof
    path: Path
    compile: Compile

    def wrong(self) -> Iterator[Wrong]:
        """Everything that is wrong with it."""
        yield from self._coverage()
        for number, family in enumerate(self.proof.families):
            yield from self._family(family, (*self.path, "families", number))
        for number, services in enumerate(self.proof.services):
            yield from self._services(services, (*self.path, "services", number))
        for number, cell in enumerate(self.proof.cells):
            yield from self._cell(cell, (*self.path, "cells", number))
        yield from self._conclusion()

    # What there is

    def _coverage(self) -> Iterator[Wrong]:
        """Every family and cell of the sizes that were searched is there once, or named as not enumerated."""
        proof, not_enumerated = self.proof, self.proof.not_enumerated
        enumerated = [size for size in self._sizes if not_enumerated is None or size not in not_enumerated.sizes]
        shared = Counter((one.gpus, one.replicas, one.stages) for one in proof.families if one.form == "shared")
        wanted = {(size, r, s) for size in enumerated for r in _divisors(size) for s in _divisors(size // r)}
        yield from self._compared("families", "family", set(shared), wanted, shared)
        cells = Counter((one.prefill_gpus, one.decode_gpus) for one in proof.cells)
        left = Counter((one[0], one[1]) for one in (not_enumerated.cells if not_enumerated else []))
        yield from self._compared("cells", "cell", set(cells) | set(left), set(self._pairs), cells + left)

    @property
    def _sizes(self) -> range:
        return range(self.result.searched.fewest, self.result.searched.gpus + 1)

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        """The cells of all sizes."""
        if "phase-pools" not in self.result.searched.over:
            return []
        return [(p, size - p) for size in self._sizes for p in range(1, size)]

    def _compared(
        self, field: str, what: str, found: set[tuple[int, ...]], wanted: set[tuple[int, ...]],
        numbers: Counter[tuple[int, ...]],
    ) -> Iterator[Wrong]:  # fmt: skip
        path = (*self.path, field)
        yield from ((path, f"the {what} of {one} is missing") for one in sorted(wanted - found))
        yield from ((path, f"the {what} of {one} was not searched") for one in sorted(found - wanted))
        yield from ((path, f"the {what} of {one} is there {n} times") for one, n in sorted(numbers.items()) if n > 1)

    def _family(self, one: FamilyRecord, path: Path) -> Iterator[Wrong]:
        pools = one.stages if one.form == "beside each stage" else 1
        held = one.replicas * (one.stages * one.width + (pools * one.beside if one.form != "shared" else 0))
        if held != one.gpus:
            yield (*path, "gpus"), f"{one.replicas} replicas of {one.stages} stages take {held} GPUs, not {one.gpus}"
        weights = one.weights.strategies if one.weights else 0
        parts = sum(one.refused.values()) + weights + one.over + _missed(one.missed) + one.priced + one.bounded
        if parts != one.members:
            yield (*path, "members"), f"the parts sum to {parts:,}, not to {one.members:,}"
        if self._is_recounted and one.form == "shared":
            counted = self._members(one.replicas, one.stages, one.width, "both")
            if counted != one.members:
                yield (*path, "members"), f"the family has {counted:,} strategies, not {one.members:,}"
        if one.weights:
            yield from self._weights(one, path)
        yield from self._limits(one.missed, one.gpus, path)
        yield from self._witness(one.witness, one.gpus, one.bounded, path)

    def _weights(self, one: FamilyRecord, path: Path) -> Iterator[Wrong]:
        weights, path = one.weights, (*path, "weights")
        if weights is None:
            return
        if weights.share <= 1:
            yield (*path, "share"), f"weights that take {weights.share:.6g} of a device fit"
        found = self.compile(weights.example, self.proof.batch)
        if isinstance(found, str) or found.gpus != one.gpus:
            yield (*path, "example"), f"`{weights.example}` is no strategy on {one.gpus} GPUs"
        elif (found.memory_share or 0.0) < weights.share * (1 - CLOSE):
            yield (*path, "share"), f"`{weights.example}` takes {found.memory_share:.6g} of a device in all"

    def _services(self, one: ServicesRecord, path: Path) -> Iterator[Wrong]:
        parts = sum(one.refused.values()) + one.weights + one.fitting
        if parts != one.members:
            yield (*path, "members"), f"the parts sum to {parts:,}, not to {one.members:,}"
        if self._is_recounted:
            counted = sum(
                self._members(r, s, one.gpus // r // s, one.phase)
                for r in _divisors(one.gpus)
                for s in _divisors(one.gpus // r)
            )
            if counted != one.members:
                yield (*path, "members"), f"there are {counted:,} services on {one.gpus} GPUs, not {one.members:,}"

    def _cell(self, one: CellRecord, path: Path) -> Iterator[Wrong]:
        fitting = {(other.phase, other.gpus): other.fitting for other in self.proof.services}
        prefill, decode = fitting.get(("prefill", one.prefill_gpus)), fitting.get(("decode", one.decode_gpus))
        if one.pairs is not None:
            if prefill is None or decode is None or one.pairs != prefill * decode:
                yield (*path, "pairs"), f"{prefill} services beside {decode} are not {one.pairs:,} pairs"
            parts = one.over + _missed(one.missed) + one.priced + one.bounded
            if parts != one.pairs:
                yield (*path, "pairs"), f"the parts sum to {parts:,}, not to {one.pairs:,}"
        gpus = one.prefill_gpus + one.decode_gpus
        yield from self._limits(one.missed, gpus, path)
        is_left = one.bounded if one.pairs is not None else prefill or 0
        yield from self._witness(one.witness, gpus, is_left, path)

    # Why nothing of it is better

    def _limits(self, missed: list[MissRecord], gpus: int, path: Path) -> Iterator[Wrong]:
        """What is said to miss a requirement misses it."""
        for number, one in enumerate(missed):
            asked = [other for other in self.facts.requirements if other.title == one.requirement]
            at = (*path, "missed", number)
            if not asked:
                yield (*at, "requirement"), f"nothing is required of `{one.requirement}`"
                continue
            limits = [_limit(self.facts, other.metric.name, other.figure, gpus) for other in asked]
            if not any(one.nearest > limit if asked[0].is_ceiling else one.nearest < limit for limit in limits):
                yield (*at, "nearest"), f"{one.nearest:.9g} does not miss `{one.requirement}`"

    def _witness(self, one: WitnessRecord | None, gpus: int, left: int, path: Path) -> Iterator[Wrong]:
        path = (*path, "witness")
        if one is None:
            if left:
                yield path, f"{left:,} are left without a bound"
            return
        score = self.score(one.gpus, one.ttft, one.tpot, one.throughput)
        if one.gpus != gpus:
            yield (*path, "gpus"), f"a strategy of {one.gpus} GPUs is given for those of {gpus}"
        if not isclose(score, one.score, rel_tol=CLOSE):
            yield (*path, "score"), f"its figures have a score of {score:.9g}, not {one.score:.9g}"
        if self.proof.is_proven and one.score < (self.proof.score or inf) * (1 - CLOSE):
            yield (*path, "score"), f"the bound {one.score:.9g} is better than the best plan"
        yield from self._above(one, path)

    def _above(self, one: WitnessRecord, path: Path) -> Iterator[Wrong]:
        """The price of the witness itself is no better than its bound."""
        found = self.compile(one.strategy, self.proof.batch)
        if isinstance(found, str):
            return
        if found.gpus != one.gpus:
            yield (*path, "strategy"), f"`{one.strategy}` takes {found.gpus} GPUs, not {one.gpus}"
        figures = found.figures
        if figures is None:
            return
        for name, bound in (("ttft", one.ttft), ("tpot", one.tpot)):
            if bound > (figures.get(name) or 0.0) * (1 + CLOSE):
                yield (*path, name), f"the bound {bound:.9g} s is above the {name} of `{one.strategy}`"
        if one.throughput < (figures.get("throughput") or 0.0) * (1 - CLOSE):
            yield (*path, "throughput"), f"the bound {one.throughput:.9g} is below the throughput of `{one.strategy}`"

    def _conclusion(self) -> Iterator[Wrong]:
        """The best score that is left, the gap, and whether the best is proven."""
        proof, path = self.proof, self.path
        witnesses = [one.witness.score for one in (*proof.families, *proof.cells) if one.witness]
        if proof.not_enumerated:
            check = YieldCheck(self.facts, proof, self._sizes, self._pairs, self.compile, self.score)
            yield from check.wrong((*path, "not_enumerated"))
            witnesses += [proof.not_enumerated.score] if proof.not_enumerated.score is not None else []
        bound = min(witnesses, default=None)
        if bound is not None and proof.not_enumerated:
            bound = max(bound, proof.not_enumerated.score_by_yields or 0.0)
        if not is_same(bound, proof.best_bound):
            yield (*path, "best_bound"), f"the best bound is {bound}, not {proof.best_bound}"
        score = proof.score
        gap = None if score is None or bound == 0 else max(0.0, score / bound - 1) if bound else 0.0
        if not is_same(gap, proof.gap):
            yield (*path, "gap"), f"the gap is {gap}, not {proof.gap}"
        if proof.is_proven != (bound is None if score is None else bound is None or bound >= score * (1 - CLOSE)):
            yield (*path, "is_proven"), "this does not follow from the bounds"
        if proof.best is not None:
            found = self.compile(proof.best, proof.batch)
            own = None if isinstance(found, str) or found.figures is None else self._score_of(found)
            if not is_same(own, score):
                yield (*path, "score"), f"`{proof.best}` has a score of {own}"

    # Definitions

    def score(self, gpus: float, ttft: float, tpot: float, throughput: float) -> float:
        """What the objective makes least."""
        match self.result.objective:
            case "ttft":
                return ttft
            case "tpot":
                return tpot
            case "gpus":
                return float(gpus)
            case "throughput":
                return 1 / throughput if throughput else inf
            case _:
                return gpus / throughput if throughput else inf

    def _score_of(self, one: Compiled) -> float:
        figures = one.figures or {}
        ttft, tpot, throughput = (figures.get(name) or 0.0 for name in ("ttft", "tpot", "throughput"))
        return self.score(one.gpus, ttft, tpot, throughput)

    @property
    def _is_recounted(self) -> bool:
        return RECOUNTED.issuperset(self.result.searched.over)

    def _members(self, replicas: int, stages: int, width: int, phase: str) -> int:
        shapes = self.facts.model.shapes()
        has_experts = bool(shapes and shapes.experts)
        attentions = sum(len(_divisors(width // tp)) for tp in _divisors(width))
        experts = [ep for ep in _divisors(width) for _ in _divisors(width // ep)] if has_experts else [1]
        options = sum(2 if ep > 1 else 1 for ep in experts)
        sequences = -(-self.proof.batch // replicas)
        usual, most = min(stages, sequences), min(sequences, MOST_MICRO)
        micro = 1 + sum(1 << i != usual for i in range(most.bit_length())) if stages > 1 else 1
        # Prompts that come and go pass the stages of a prefill service in steps of one micro-batch.
        if phase == "prefill" and self.facts.workload.concurrency is not None:
            micro = 1
        return attentions * options * micro


def _limit(facts: Facts, metric: str, figure: Figure, gpus: int) -> float:
    """The number that a requirement limits, in what a bound has: seconds, GPUs, or requests a second."""
    if metric != "throughput":
        return figure.value
    workload = facts.workload
    tokens = {"output": workload.output, "input": workload.prompt}.get(figure.kind, workload.prompt + workload.output)
    return figure.value / tokens * (gpus if figure.per is Per.GPU else 1)


def _missed(missed: list[MissRecord]) -> int:
    return sum(one.strategies for one in missed)


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]
