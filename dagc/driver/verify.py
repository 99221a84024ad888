"""A result of `dagc search` is checked again, by none of the code that made it: counts, sizes, figures and bounds.

The front, the best plan of each proof, what would have to give, and every witness are compiled from their text under
the question of the result. Requests are simulated again where the recommendation rests on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.driver.front import read_plan, resolve_strategy, stops
from dagc.driver.simulated_plan import SimulatedRequests, simulate
from dagc.driver.strategies import price_plan
from dagc.driver.verify_choice import wrong_choice
from dagc.driver.verify_proof import Compiled, ProofCheck, Wrong, lines
from dagc.metrics import OBJECTIVES
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.results.search_result import FoundPlan, SearchResult
from dagc.results.values import values
from dagc.source import Source, Span
from dagc.syntax.parser import parse

NOT_A_RESULT = Code("X509", "not-a-search-result")
NOT_VERIFIED = Code("X510", "search-not-verified")


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what is wrong with it."""

    strategies: int
    diagnostics: tuple[Diagnostic, ...]


def verify(source: Source, directory: Path) -> Verification:
    """Check a result, whose text is the source and whose paths start at the directory."""
    result = _result(source)
    if isinstance(result, Diagnostic):
        return Verification(0, (result,))
    found: list[Diagnostic] = []
    known = read_plan(Source("question", result.question), (), directory, found)
    found = [one for one in found if one.code.code != "N119"]
    if known is None or stops(found):
        return Verification(0, tuple(found))
    compiler = Compiler(known[1])
    at = lines(_plain(result))
    wrong = [*_of_result(result, compiler)]
    for number, proof in enumerate(result.proofs):
        wrong += ProofCheck(result, known[1], proof, ("proofs", number), compiler).wrong()
    return Verification(len(compiler.known), tuple(_diagnostic(source, at, one) for one in wrong))


def _result(source: Source) -> SearchResult | Diagnostic:
    """The result in a file, which has it as it is written."""
    from pydantic import TypeAdapter, ValidationError

    from dagc.export.records import json_bytes

    try:
        result = TypeAdapter(SearchResult).validate_json(source.text)
    except (ValidationError, RecursionError) as problem:
        reason = problem.errors()[0]["msg"] if isinstance(problem, ValidationError) else "it is too deep"
        return NOT_A_RESULT.at(
            None, f"`{source.name}` is no result of `dagc search`: {reason}", help=("name a `search.json`",)
        )
    written, text = json_bytes(result).decode().splitlines(), source.text.splitlines()
    if written != text:
        line = next((i for i, pair in enumerate(zip(written, text, strict=False)) if pair[0] != pair[1]), len(text) - 1)
        return NOT_A_RESULT.at(
            _span(source, line + 1),
            f"`{source.name}` is not as `dagc search` writes it",
            help=("name the file that it wrote, not one that another program has written again",),
        )
    return result


def _plain(result: SearchResult) -> object:
    from dagc.export.records import plain

    return plain(result)


def _span(source: Source, line: int) -> Span:
    start = source.line_starts[min(line, len(source.line_starts)) - 1]
    text = source.line(min(line, len(source.line_starts)))
    return source.span(start + len(text) - len(text.lstrip()), start + len(text))


@dataclass(slots=True)
class Compiler:
    """Compiles strategies under the facts of a question, each once."""

    facts: Facts
    known: dict[tuple[str, int], Compiled | str] = field(default_factory=dict[tuple[str, int], "Compiled | str"])
    simulated: dict[tuple[str, int], SimulatedRequests | None] = field(
        default_factory=dict[tuple[str, int], "SimulatedRequests | None"]
    )

    def __call__(self, strategy: str, batch: int) -> Compiled | str:
        """What compiling says, or the code that refuses it."""
        key = strategy, batch
        if key not in self.known:
            self.known[key] = self._compiled(strategy, batch)
        return self.known[key]

    def simulate(self, strategy: str, batch: int) -> SimulatedRequests | None:
        """Simulated requests, with a verdict on each requirement; None where nothing compiles."""
        key = strategy, batch
        if key not in self.simulated:
            plan = self._plan(strategy, batch, [])
            self.simulated[key] = None if isinstance(plan, str) else simulate(plan)
        return self.simulated[key]

    def _plan(self, strategy: str, batch: int, found: list[Diagnostic]) -> Plan | str:
        parsed = parse(Source("strategy", strategy))
        deployment = resolve_strategy(parsed.file.strategies[0], found) if parsed.file else None
        if deployment is None:
            return next((one.code.code for one in (*parsed.diagnostics, *found)), "S000")
        workload = self.facts.workload
        concurrency = None if workload.concurrency is None else batch
        facts = replace(self.facts, workload=replace(workload, batch=batch, concurrency=concurrency))
        return Plan(placed(deployment, facts.engine), facts)

    def _compiled(self, strategy: str, batch: int) -> Compiled | str:
        found: list[Diagnostic] = []
        plan = self._plan(strategy, batch, found)
        if isinstance(plan, str):
            return plan
        priced = price_plan(plan, found, lambda _: None, sample=None)
        assessment = priced.assessment
        share = assessment.memory.fullest.share if assessment.memory else None
        gpus, misses = plan.deployment.gpus, tuple(one.name for one in assessment.requirements if one.ok is False)
        if assessment.metrics is None or share is None or share > 1:
            return Compiled(gpus, None, share, misses)
        return Compiled(gpus, values(plan, assessment), share, misses)


def _of_result(result: SearchResult, compiler: Compiler) -> Iterator[Wrong]:
    """The front, the nearest plan, then the plans that would do, and the counts."""
    sizes = range(result.searched.fewest, result.searched.gpus + 1)
    for number, plan in enumerate(result.front):
        path = "front", number
        yield from _plan(plan, path, compiler)
        found = compiler(plan.strategy, plan.batch)
        if not isinstance(found, str) and found.misses:
            yield (*path, "strategy"), f"`{plan.strategy}` misses `{found.misses[0]}`"
        if plan.gpus not in sizes:
            yield (*path, "gpus"), f"{plan.gpus} GPUs were not searched"
        better = next((one for one in result.front if _dominates(one, plan)), None)
        if better:
            yield (*path, "strategy"), f"`{better.strategy}` is better in every objective"
    yield from wrong_choice(result, compiler.facts, compiler.simulate)
    if result.nearest:
        yield from _plan(result.nearest, ("nearest",), compiler)
    yield from _of_rest(result, compiler)


def _of_rest(result: SearchResult, compiler: Compiler) -> Iterator[Wrong]:
    for number, relaxed in enumerate(result.relaxations):
        found = compiler(relaxed.strategy, relaxed.batch)
        if isinstance(found, str) or found.gpus != relaxed.gpus or not _agree(found, relaxed.figures):
            yield ("relaxations", number, "strategy"), f"`{relaxed.strategy}` has other figures"
    if result.front and result.proofs:
        best = min((one.score for one in result.proofs if one.score is not None), default=None)
        named = {one.best for one in result.proofs if one.score == best}
        if named.isdisjoint(one.strategy for one in result.front):
            yield ("front", 0, "strategy"), "the best plan of no proof is on the front"
    shown = ("best" if result.front else "no plan") if all(one.is_proven for one in result.proofs) else "nothing"
    if result.proven != shown:
        yield ("proven",), f"the proofs show `{shown}`"
    counts = result.counts
    pruned = sum(counts.refused.values()) + counts.weights_too_large + counts.too_large
    decided = pruned + sum(counts.bound_misses.values()) + counts.bound_dominated + counts.priced
    if decided != counts.decided:
        yield ("counts", "decided"), f"the parts sum to {decided:,}, not to {counts.decided:,}"
    if result.is_complete and result.front and counts.decided != counts.generated:
        yield ("counts", "generated"), f"{counts.decided:,} were decided of {counts.generated:,}"


def _plan(plan: FoundPlan, path: tuple[str | int, ...], compiler: Compiler) -> Iterator[Wrong]:
    found = compiler(plan.strategy, plan.batch)
    if isinstance(found, str) or found.figures is None:
        yield (*path, "strategy"), f"`{plan.strategy}` has no figures"
        return
    if found.gpus != plan.gpus:
        yield (*path, "gpus"), f"`{plan.strategy}` takes {found.gpus} GPUs, not {plan.gpus}"
    for name, value in plan.figures.items():
        if found.figures.get(name) != value:
            yield (*path, "figures", name), f"compiling gives {found.figures.get(name)}, not {value}"


def _agree(found: Compiled, figures: dict[str, float | None]) -> bool:
    """Whether all figures that are there are those of compiling."""
    return found.figures is not None and all(found.figures.get(name) == value for name, value in figures.items())


def _dominates(one: FoundPlan, other: FoundPlan) -> bool:
    """Whether one plan is worse in nothing, and better in something."""
    pairs = [(float(one.gpus), float(other.gpus))]
    for metric in OBJECTIVES:
        first, last = one.figures.get(metric.name), other.figures.get(metric.name)
        if first is not None and last is not None:
            pairs.append((-first, -last) if metric.better == "more" else (first, last))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _diagnostic(source: Source, at: dict[tuple[str | int, ...], int], wrong: Wrong) -> Diagnostic:
    """What is wrong, at the line of its path, or of what holds it."""
    path, message = wrong
    while path not in at:
        path = path[:-1]
    where = ".".join(map(str, path))
    return NOT_VERIFIED.at(_span(source, at[path]), f"`{where}`: {message}", help=("search again",))
