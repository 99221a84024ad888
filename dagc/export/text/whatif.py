"""Sensitivities and break-even points as text for a person; it computes nothing that is not in the document.

Of sensitivities a row for each change, the strongest parameter of its kind first, with the relative change of each
metric; then why the strongest changes do what they do, what has no effect, and what cannot be. Of two strategies who
leads from where on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from dagc.export.text.columns import columns
from dagc.export.text.context import MARKS
from dagc.metrics import SENSITIVITIES
from dagc.results.serving import bound_text
from dagc.results.whatif import (
    BreakEven,
    Effect,
    Moved,
    PhaseChange,
    PhaseState,
    PlanComparison,
    Refusal,
    Sensitivities,
    WhatIf,
)
from dagc.units import format_gpus, format_seconds, format_share

NOTHING = 0.0005
"""A change of every figure by less than this share is no effect."""

KINDS = ("hardware", "workload", "strategy")

_SHORT = {one.name: one.short_title for one in SENSITIVITIES if one.short_title}
_FITS = {True: ", fits", False: ", does not fit", None: ", memory undetermined"}
MOST_SHOWN = 4
"""Break-even points of one figure that are printed; the document has all."""

_LEADS = {"first": "A", "second": "B", None: "equal"}

_SHARES = ("compute", "memory", "communication", "bubble")


def render_whatif(found: WhatIf, reasons: int) -> str:
    """Everything as lines, the last one ended; `reasons` changes of each kind are explained."""
    blocks = [*(_strategy(one, reasons) for one in found.strategies), *(_break_even(one) for one in found.duels)]
    lines = [line for number, block in enumerate(blocks) for line in _apart(number, block)]
    return "\n".join([*([f"defaults: {found.assumed}"] if found.assumed else []), *lines]) + "\n"


def _apart(number: int, block: Iterable[str]) -> Iterator[str]:
    if number:
        yield ""
    yield from block


def _strategy(one: Sensitivities, reasons: int) -> Iterator[str]:
    yield f"{one.name}: {one.strategy}, {format_gpus(one.gpus)}{_FITS[one.fits]}"
    if one.missing:
        yield f"  undetermined without {', '.join(one.missing)}"
    if not one.metrics:
        return
    shown = [effect for effect in one.effects if _acts(one, effect)]
    yield ""
    yield from _table(one, shown)
    yield from _why(shown, reasons)
    yield from _without(one, shown)
    yield from _refused(one.refusals)


def _acts(one: Sensitivities, effect: Effect) -> bool:
    return strength(effect) >= NOTHING or bool(effect.verdicts) or effect.fits != one.fits


def strength(effect: Effect) -> float:
    """The largest relative change of a figure."""
    return max((abs(moved.difference) for moved in effect.metrics if moved.difference is not None), default=0.0)


def change_text(effect: Effect) -> str:
    """`memory bandwidth +10 %`, `batch 256`, or the strategy's own words: `ep 8`."""
    return effect.change if effect.kind == "strategy" else f"{effect.title} {effect.change}"


def percent(difference: float | None) -> str:
    """`+61.2 %`; `0 %` below what counts as an effect."""
    if difference is None:
        return "-"
    return "0 %" if abs(difference) < NOTHING else f"{_three_digits(difference * 100)} %"


def _three_digits(value: float) -> str:
    """With a sign, and no more than two places."""
    size = abs(value)
    return f"{value:+.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def _table(one: Sensitivities, shown: Sequence[Effect]) -> Iterator[str]:
    names = [metric.name for metric in one.metrics]
    blank = [""] * (len(names) + 1)
    rows = [["", *(_SHORT.get(metric.name, metric.title) for metric in one.metrics), ""]]
    rows.append(["baseline", *(metric.text for metric in one.metrics), ""])
    for kind, effects in _by_kind(shown):
        rows += [[kind, *blank], *(_row(effect, names, one.fits) for effect in effects)]
    for line, (*_, remarks) in zip(columns([row[:-1] for row in rows], ">"), rows, strict=True):
        yield f"{line}  {remarks}".rstrip()


def _by_kind(shown: Sequence[Effect]) -> Iterator[tuple[str, list[Effect]]]:
    """The effects of each kind: the strongest parameter first, changes of one parameter together."""
    for kind, found in groupby(shown, key=lambda effect: effect.kind):
        effects = list(found)
        strongest: dict[str, float] = {}
        for effect in effects:
            strongest[effect.parameter] = max(strength(effect), strongest.get(effect.parameter, 0.0))
        yield kind, sorted(effects, key=lambda effect: (-strongest[effect.parameter], effect.parameter))


def _row(effect: Effect, names: Sequence[str], fits: bool | None) -> list[str]:
    moved = {one.name: one for one in effect.metrics}
    if effect.kind == "strategy":
        title = f"  {effect.value} → {effect.change}"
    else:
        title = f"  {effect.title} {effect.value} {'' if effect.change.startswith(('+', '-')) else '→ '}{effect.change}"
    return [title, *(_cell(moved.get(name)) for name in names), _remarks(effect, fits)]


def _cell(moved: Moved | None) -> str:
    return percent(moved.difference) if moved else "-"


def _remarks(effect: Effect, fits: bool | None) -> str:
    said = [format_gpus(effect.gpus)] if effect.kind == "strategy" else []
    said += [_FITS[effect.fits].removeprefix(", ")] if effect.fits != fits else []
    said += [f"{MARKS[one.after]} {one.name} {one.required}" for one in effect.verdicts]
    return ", ".join(said)


def _why(shown: Sequence[Effect], reasons: int) -> Iterator[str]:
    strongest: dict[str, Effect] = {}
    for effect in sorted(shown, key=strength, reverse=True):
        strongest.setdefault(effect.parameter, effect)
    known = [effect for effect in strongest.values() if effect.phases]
    explained = [effect for kind in KINDS for effect in [one for one in known if one.kind == kind][:reasons]]
    if not explained:
        return
    yield ""
    yield "why: strongest changes, critical-path shares, operators with the largest change on the critical path"
    for effect in explained:
        phase = max(effect.phases, key=_weight)
        yield f"  {change_text(effect)}: {_times(phase)}"
        if max(len(phase.before.parts_seconds), len(phase.after.parts_seconds)) > 1:
            yield f"    {_parts(phase.before, phase.after)}"
        yield f"    {_shares(phase.before, phase.after)}"
        yield from (f"    {line}" for line in _operators(phase))


def _weight(phase: PhaseChange) -> float:
    """How much a phase changed, as a share of what it was."""
    return abs(phase.after.seconds / phase.before.seconds - 1) if phase.before.seconds else 0.0


def _times(phase: PhaseChange) -> str:
    before, after = phase.before, phase.after
    bound = bound_text(before.bound)
    if before.bound != after.bound:
        bound += f" → {bound_text(after.bound)}"
    return f"{phase.phase} {format_seconds(before.seconds)} → {format_seconds(after.seconds)}, {bound}"


def _parts(before: PhaseState, after: PhaseState) -> str:
    """The parts of TPOT; one that only the plan or only the change has is 0 s in the other."""
    names = dict.fromkeys([*before.parts_seconds, *after.parts_seconds])
    pairs = ((name, before.parts_seconds.get(name, 0.0), after.parts_seconds.get(name, 0.0)) for name in names)
    return ", ".join(f"{name} {format_seconds(old)} → {format_seconds(new)}" for name, old, new in pairs)


def _shares(before: PhaseState, after: PhaseState) -> str:
    shares = ((name, getattr(before, f"{name}_share"), getattr(after, f"{name}_share")) for name in _SHARES)
    return ", ".join(f"{name} {format_share(old)} → {format_share(new)}" for name, old, new in shares)


def _operators(phase: PhaseChange) -> Iterator[str]:
    each = [
        f"{one.key} {format_seconds(one.before_seconds)} → {format_seconds(one.after_seconds)}"
        for one in phase.operators
    ]
    if each:
        yield ", ".join(each)


def _without(one: Sensitivities, shown: Sequence[Effect]) -> Iterator[str]:
    acting = {effect.parameter for effect in shown}
    idle = dict.fromkeys(effect.title for effect in one.effects if effect.parameter not in acting)
    if idle:
        yield ""
        yield f"no effect{' on memory' if one.missing else ''}: {', '.join(idle)}"
    notes = dict.fromkeys(f"{effect.title}: {effect.note}" for effect in shown if effect.note)
    if notes:
        yield ""
        yield from notes


def _refused(refusals: Sequence[Refusal]) -> Iterator[str]:
    """What cannot be, once for each reason."""
    if not refusals:
        return
    yield ""
    yield "rejected"
    causes: dict[str, list[str]] = {}
    for one in refusals:
        cause = f"{one.code}: {one.reason}" if one.code else one.reason
        causes.setdefault(cause, []).append(
            f"{one.title} {one.change}".strip() if one.kind != "strategy" else one.change
        )
    yield from (f"  {'; '.join(dict.fromkeys(what))}: {cause}" for cause, what in causes.items())


def _break_even(comparison: PlanComparison) -> Iterator[str]:
    """The pair, a row for each figure and each break-even, then what does not fit or cannot be."""
    for letter, side in zip("AB", comparison.sides, strict=True):
        yield f"{letter}  {side.strategy}   {format_gpus(side.gpus)}"
    yield ""
    head = ["", f"from {comparison.over}", "leads", "A", "B", "A before", "B before", "concurrent tokens"]
    rows = [head, *(row for figure in comparison.figures for row in _break_even_rows(comparison, figure))]
    yield from columns(rows)
    yield ""
    values = f"{len(comparison.priced)} value{'s' * (len(comparison.priced) != 1)} of {comparison.over}"
    yield f"{values} between {comparison.low:,} and {comparison.high:,} evaluated"
    yield from _limits(comparison)


def _break_even_rows(comparison: PlanComparison, figure: BreakEven) -> Iterator[list[str]]:
    first = f"{comparison.priced[0]:,}" if comparison.priced else "-"
    yield [figure.title, first, _LEADS[figure.leads], *[""] * 5]
    for one in figure.crossings[:MOST_SHOWN]:
        yield ["", f"{one.at:,}", _LEADS[one.leads], *one.texts, *one.before_texts, f"{one.tokens:,}"]
    more = figure.crossings[MOST_SHOWN:]
    if more:
        yield ["", f"{more[-1].at:,}", _LEADS[more[-1].leads], f"after {len(more)} more changes", *[""] * 4]


def _limits(comparison: PlanComparison) -> Iterator[str]:
    for letter, side in zip("AB", comparison.sides, strict=True):
        if side.full_from is not None:
            yield f"{letter} does not fit in memory at {comparison.over} {side.full_from:,}"
        yield from (f"no {letter} at {comparison.over} {one.change}, {one.code}: {one.reason}" for one in side.refusals)
