"""A search as text for a person: the best plan, the front, how far the given strategies are, and what fell to what.

It computes nothing that is not in the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.export.text.columns import columns
from dagc.metrics import FRONT_TABLE, TtftDefinition
from dagc.results.search_result import Counts, FoundPlan, PlacedPlan, SearchResult
from dagc.units import format_gpus, format_share

MOST_ROWS = 12
"""Plans of the front that are shown; the JSON has all."""


def render_search(result: SearchResult) -> str:
    """The search as lines, the last one ended."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: SearchResult) -> Iterator[str]:
    yield from _best(result)
    if result.front:
        yield ""
        count = len(result.front)
        shown = f", the first {MOST_ROWS}" if count > MOST_ROWS else ""
        yield f"Pareto front: {count} plan{'s' * (count != 1)}{shown}"
        yield from _table(result.front[:MOST_ROWS], result.ttft_definition)
    for title, placed in (("your strategies", result.given), ("baselines", result.well_known)):
        if placed:
            yield ""
            yield title
            yield from (f"  {line}" for one in placed for line in _placed(one, result))
    yield ""
    yield from _counted(result)


def _best(result: SearchResult) -> Iterator[str]:
    if result.front:
        best = result.front[0]
        yield f"best: {best.strategy}   {format_gpus(best.gpus)}, batch {best.batch}"
        yield f"  {result.reason}"
        yield from (f"  {line}" for line in _missed(best) if line.startswith("?"))
    elif result.nearest:
        yield result.reason
        yield f"  nearest: {result.nearest.strategy}   {format_gpus(result.nearest.gpus)}, batch {result.nearest.batch}"
        yield from (f"  {line}" for line in _missed(result.nearest))
    else:
        yield result.reason


def _missed(plan: FoundPlan) -> Iterator[str]:
    for one in plan.requirements:
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
    counts, searched = result.counts, result.searched
    batches = ", ".join(map(str, searched.batches))
    yield f"searched: up to {format_gpus(searched.gpus)}, batch {batches}"
    yield from (f"  {text}" for text in searched.always.split("; "))
    yield from (f"  {text}" for text in searched.over.values())
    if searched.not_searched:
        yield f"  not searched: {', '.join(searched.not_searched)} (`--over`)"
    state = "search complete" if result.is_complete else f"{counts.decided:,} decided before the search stopped"
    yield f"{counts.generated:,} candidates, {state}"
    yield from (f"  {number:>11,}  {what}" for number, what in _reasons(counts) if number)


def _reasons(counts: Counts) -> Iterator[tuple[int, str]]:
    yield from ((number, f"rejected by {code}") for code, number in counts.refused.items())
    yield counts.weights_too_large, "weights exceed memory"
    yield counts.too_large, "weights, KV cache and activations exceed memory"
    yield from ((number, f"pruned by bound: {name} missed") for name, number in counts.bound_misses.items())
    yield counts.bound_dominated, "pruned by lower bound: dominated"
    missing = sum(counts.priced_missing.values())
    yield counts.priced, f"fully priced, {missing:,} of them miss a requirement" if missing else "fully priced"
