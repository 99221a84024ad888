"""A search as text for a person: the best plan, the front, how far the given strategies are, and what fell to what.

It computes nothing that is not in the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dagc.export.text.columns import columns
from dagc.metrics import FRONT_TABLE, TPOT, TTFT, TtftDefinition
from dagc.results.proof import CellRecord, FamilyRecord, MissRecord
from dagc.results.search_result import FoundPlan, PlacedPlan, Relaxation, RequirementFigure, SearchResult
from dagc.units import format_count, format_gpus, format_share

MOST_ROWS = 12
"""Plans of the front that are shown; the JSON has all."""


MOST_TIES = 3
"""Plans that tie with the best that are named."""


def render_search(result: SearchResult) -> str:
    """The search as lines, the last one ended."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: SearchResult) -> Iterator[str]:
    yield from _best(result)
    yield from _relaxed(result)
    if result.front:
        yield ""
        count, so_far = len(result.front), "" if result.is_complete else " of the plans priced so far"
        shown = f", the first {MOST_ROWS}" if count > MOST_ROWS else ""
        yield f"Pareto front{so_far}: {count} plan{'s' * (count != 1)}{shown}"
        yield from _table(result.front[:MOST_ROWS], result.ttft_definition)
        yield from _loads(result)
    for title, placed in (("your strategies", result.given), ("baselines", result.well_known)):
        if placed:
            yield ""
            yield title
            yield from (f"  {line}" for one in placed for line in _placed(one, result))
    yield ""
    yield from _counted(result)


def _best(result: SearchResult) -> Iterator[str]:
    best = result.recommended
    if best is None or best.is_lowered:
        yield result.reason
    if best is not None:
        yield f"best: {best.strategy}   {format_gpus(best.gpus)}, batch {best.batch}"
        if not best.is_lowered:
            yield f"  {result.reason}"
            yield f"  {_proven(result)}"
        if result.ratio:
            yield f"  {result.ratio.sentence}"
        met = best.simulated.met if best.simulated else None
        yield from (f"  {line}" for line in _missed(best.requirements) if line.startswith("?") and met is None)
        if met is not None:
            yield f"  {'✓' if met else '✗'} simulated requests {'meet every' if met else 'miss a'} requirement"
        ties = [one.strategy for one in result.front if one.tied]
        if ties:
            more = f" and {len(ties) - MOST_TIES} more" if len(ties) > MOST_TIES else ""
            yield f"  a tie with {', '.join(f'`{one}`' for one in ties[:MOST_TIES])}{more}: predictions are no closer"
    elif nearest := result.nearest:
        yield f"  nearest: {nearest.strategy}   {format_gpus(nearest.gpus)}, batch {nearest.batch}"
        yield from (f"  {line}" for line in _missed(nearest.requirements))


def _proven(result: SearchResult) -> str:
    """How much better a plan can be that was not priced."""
    gap = result.recommended.gap if result.recommended else None
    if gap is None:
        return "how much better another plan can be is not known yet: search longer"
    if result.recommended and result.recommended.passed_over:
        return f"a plan that was not simulated is better by {format_share(gap)} at most"
    if gap == 0:
        return "optimal: no strategy that was searched is better"
    return f"a plan that was not priced is better by {format_share(gap)} at most"


def _relaxed(result: SearchResult) -> Iterator[str]:
    if result.relaxations:
        yield ""
        yield "what would do, with all else as it is"
    for one in result.relaxations:
        is_load = one.what in ("concurrency", "batch")
        may_be_less = "" if one.is_minimal else ", or more" if is_load else ", or less"
        yield f"  {one.what} {one.needed} in place of {one.asked}{may_be_less}: {one.strategy}{_beside(one)}"


def _beside(one: Relaxation) -> str:
    """What simulated requests miss all the same."""
    names = ", ".join(f"`{name}`" for name in one.simulated_misses)
    return f"; its simulated requests miss {names}" if names else ""


def _loads(result: SearchResult) -> Iterator[str]:
    """The highest load and simulated requests of the plans that were simulated."""
    known = [(one, one.highest, one.simulated) for one in result.front if one.simulated]
    if not known:
        return
    yield ""
    yield "under load: the highest concurrency within the requirements, and simulated requests"
    rows = [["strategy", "concurrency up to", "requests/s", "then", "tokens/s/GPU", "TTFT p50", "TTFT p99", "TPOT p50"]]
    rows += [
        [
            plan.strategy,
            f"{load.concurrency:,}" if load else "-",
            f"{load.requests_per_second:.3g}" if load and load.requests_per_second is not None else "-",
            load.limit if load else _first_missed(plan),
            format_count(run.output_tokens_per_second / plan.gpus),
            TTFT.text(run.ttft_p50),
            TTFT.text(run.ttft_p99),
            TPOT.text(run.tpot_p50) + (" ✗" if run.met is False else ""),
        ]
        for plan, load, run in known
    ]
    yield from (f"  {line}" for line in columns(rows))
    if result.simulation_order:
        yield f"  simulated requests put `{result.simulation_order}` first"


def _first_missed(plan: FoundPlan) -> str:
    """What simulated requests of a plan miss that has no highest load."""
    return next((f"misses {one.name}" for one in plan.requirements if one.miss), "missed")


def _missed(requirements: Sequence[RequirementFigure]) -> Iterator[str]:
    for one in requirements:
        if one.miss is None:
            yield f"? {one.name} {one.required}: undetermined"
        else:
            yield f"✗ {one.name} {one.required}: {one.miss_text}" if one.miss else f"✓ {one.name} {one.required}"


def _table(plans: Sequence[FoundPlan], ttft: TtftDefinition) -> Iterator[str]:
    kinds = [one for one in FRONT_TABLE if any(p.figures.get(one.name) is not None for p in plans)]
    rows = [["strategy", "batch", *(kind.titled([ttft]) for kind in kinds)]]
    rows += [[p.strategy, str(p.batch), *(kind.text(p.figures.get(kind.name)) for kind in kinds)] for p in plans]
    yield from (f"  {line}" for line in columns(rows))


def _placed(one: PlacedPlan, result: SearchResult) -> Iterator[str]:
    far = f", at least {format_share(one.distance)} worse in every metric" if one.distance else ""
    status = _STATUS[one.status] + (" so far" if one.status == "front" and not result.is_complete else "")
    odds = "" if one.odds is None else f"; lower TPOT than the best: {one.odds * 100:.0f} %"
    yield f"{one.name}{result.batch_label(one.batch)}: {one.strategy}: {status}{far}{odds}"
    if one.status != "front":
        yield f"  {one.reason}"


_STATUS = {
    "front": "on the Pareto front",
    "behind": "dominated",
    "misses a requirement": "misses a requirement",
    "does not fit": "does not fit",
    "refused": "rejected",
}


def _counted(result: SearchResult) -> Iterator[str]:
    searched = result.searched
    batches = ", ".join(map(str, searched.batches))
    fewest = "" if searched.fewest == searched.gpus else f"{searched.fewest} to "
    yield f"searched: {fewest}{format_gpus(searched.gpus)}, batch {batches}"
    yield from (f"  {text}" for text in searched.always.split("; "))
    yield from (f"  {text}" for text in searched.over.values())
    if searched.not_searched:
        yield f"  not searched: {', '.join(searched.not_searched)} (`--over`)"
    yield from _families([one for proof in result.proofs for one in proof.families])
    yield from _cells([one for proof in result.proofs for one in proof.cells])
    not_enumerated = sum(
        len(one.not_enumerated.sizes) + len(one.not_enumerated.cells) for one in result.proofs if one.not_enumerated
    )
    if not_enumerated:
        yield f"{not_enumerated:,} sizes and pools not enumerated yet"
    if result.is_complete and result.front:
        priced = f"{result.counts.priced:,} of {result.counts.generated:,} candidates priced for it"
        yield f"the front is complete: {priced}; the best alone has a proof on record"
    yield f"{result.budget.evaluations:,} bounds and prices{_ENDED[result.budget.ended_by]}" + (
        f"; `--most {result.budget.evaluations}` repeats it" if result.budget.ended_by == "time" else ""
    )


_ENDED = {
    "complete": ", search complete",
    "time": " before the time ended",
    "evaluations": ", as many as were allowed",
    "interrupt": " before the search was interrupted",
}


def _families(families: Sequence[FamilyRecord]) -> Iterator[str]:
    """Strategies of one service by what became of them."""
    total = sum(one.members for one in families)
    yield f"{total:,} strategies of one service in {len(families):,} families"
    refused: Counter[str] = Counter()
    for one in families:
        refused.update(one.refused)
    yield from _rows([
        *((number, f"rejected by {code}") for code, number in sorted(refused.items())),
        (sum(one.weights.strategies for one in families if one.weights), "weights exceed memory"),
        (sum(one.over for one in families), "weights, KV cache and activations exceed memory"),
        *_missing([miss for one in families for miss in one.missed]),
        (sum(one.bounded for one in families), "not priced: their bounds are no better than the best, or open"),
        (sum(one.priced for one in families), "priced"),
    ])  # fmt: skip


def _cells(cells: Sequence[CellRecord]) -> Iterator[str]:
    """Pairs of services by what became of them."""
    if not cells:
        return
    closed = sum(one.pairs is None for one in cells)
    total = sum(one.pairs or 0 for one in cells)
    yield f"{total:,} pairs of services in {len(cells) - closed:,} sizes of pools" + (
        f", and those of {closed:,} sizes whose prefill alone is bound to be slower" if closed else ""
    )
    yield from _rows([
        (sum(one.over for one in cells), "a service does not fit"),
        *_missing([miss for one in cells for miss in one.missed]),
        (sum(one.bounded for one in cells), "not priced: their bounds are no better than the best, or open"),
        (sum(one.priced for one in cells), "priced"),
    ])  # fmt: skip


def _missing(missed: Sequence[MissRecord]) -> Iterator[tuple[int, str]]:
    numbers: Counter[str] = Counter()
    for one in missed:
        numbers[one.requirement] += one.strategies
    yield from ((number, f"pruned by bound: {name} missed") for name, number in sorted(numbers.items()))


def _rows(rows: Sequence[tuple[int, str]]) -> Iterator[str]:
    yield from (f"  {number:>11,}  {what}" for number, what in rows if number)
