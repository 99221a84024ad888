"""The parameters of a strategy: every text that differs from it by one decision.

A decision is a degree halved or doubled (more or fewer GPUs), a factor moved from one axis to another (as many GPUs),
an option switched, a pipeline put around, or attention's tensor parallelism put beside the experts. Degrees change by
their smallest prime factor, or by 2. What the rules refuse is found when a text is read, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Edit
from dagc.plan.plan import Plan
from dagc.plan.scopes import parts, subtrees
from dagc.plan.sizes import size
from dagc.results.structure import strategy_text
from dagc.source import Source, Span
from dagc.syntax.parser import parse
from dagc.syntax.tree import Axis, Option, Pools, Scope, ScopeKind, Strategy
from dagc.whatif.parameter import Change, ParameterKind, SensitivityParameter


@dataclass(frozen=True, slots=True)
class _Placed:
    """An axis, and what is around it from the outermost on."""

    axis: Axis
    inside: tuple[Strategy, ...]

    def named(self, what: str) -> str:
        """Words about it with the scope around it: `decode ep 8`."""
        scopes = [part.kind for part in self.inside if isinstance(part, Scope)]
        return f"{scopes[-1]} {what}" if scopes else what

    @property
    def title(self) -> str:
        """E.g. `ep`, or `decode ep`."""
        return self.named(self.axis.kind)

    def of(self, number: int) -> str:
        """The axis with a degree: `ep 8`, or `decode ep 8`."""
        return self.named(f"{self.axis.kind} {number}")


def decisions(plan: Plan) -> tuple[SensitivityParameter, ...]:
    """Parameters in the order: degrees, exchanges of factors, what may be added, options."""
    strategy = _plain(plan)
    axes = list(_placed(strategy, ()))
    found = (
        *(_degrees(strategy, axis) for axis in axes),
        *_moves(strategy, axes),
        *_pipeline(strategy, axes),
        *_attention_beside(strategy, axes),
        *(parameter for one in axes for parameter in _options(plan, strategy, one)),
    )
    return tuple(_numbered(found))


def _plain(plan: Plan) -> Strategy:
    """The strategy as if written on one line without comments, so that edits overlap none."""
    file = parse(Source("strategy", strategy_text(plan.deployment))).file
    return file.strategies[0].body if file else plan.deployment.strategy.body


def _placed(strategy: Strategy, inside: tuple[Strategy, ...]) -> Iterator[_Placed]:
    if isinstance(strategy, Axis):
        yield _Placed(strategy, inside)
    for part in parts(strategy):
        yield from _placed(part, (*inside, strategy))


def _numbered(found: tuple[SensitivityParameter, ...]) -> Iterator[SensitivityParameter]:
    """Unique names where one kind of axis occurs twice; parameters without a change left out."""
    seen: dict[str, int] = {}
    for one in (parameter for parameter in found if parameter.changes):
        seen[one.name] = seen.get(one.name, 0) + 1
        number = seen[one.name]
        name = one.name if number == 1 else f"{one.name}.{number}"
        yield SensitivityParameter(name, one.title, one.kind, one.value, one.changes, one.note)


def _degrees(strategy: Strategy, placed: _Placed) -> SensitivityParameter:
    """Half and twice the degree."""
    own = placed.axis.degree
    others = [*([own // _factor(own)] if own > 1 else []), own * 2]
    changes = tuple(_change(placed.of(n), strategy, [degree(placed.axis, n)]) for n in others)
    return _parameter(placed.title, placed.title, placed.of(own), changes)


def _moves(strategy: Strategy, axes: list[_Placed]) -> Iterator[SensitivityParameter]:
    """A factor taken from one axis and given to another: as many GPUs, where either alone would need others."""
    for giver, taker in permutations(axes, 2):
        factor = _factor(giver.axis.degree)
        if giver.axis.degree == 1:
            continue
        less, more = giver.axis.degree // factor, taker.axis.degree * factor
        edits = [degree(giver.axis, less), degree(taker.axis, more)]
        change = _change(f"{giver.of(less)}, {taker.of(more)}", strategy, edits)
        alone = [_gpus(_change("", strategy, [edit])) for edit in edits]
        if _gpus(change) == size(strategy) and size(strategy) not in alone:
            title = f"{giver.title} to {taker.title}"
            value = f"{giver.of(giver.axis.degree)}, {taker.of(taker.axis.degree)}"
            yield _parameter(title, title, value, (change,))


def _pipeline(strategy: Strategy, axes: list[_Placed]) -> Iterator[SensitivityParameter]:
    """A pipeline of two stages, with half of another degree, where there is none and there are no pools."""
    if any(one.axis.kind is AxisKind.PP for one in axes) or any(isinstance(p, Pools) for p in subtrees(strategy)):
        return
    replica = _replica(strategy)
    if isinstance(replica, Scope):
        return
    for axis in axes:
        half, is_odd = divmod(axis.axis.degree, 2)
        if is_odd:
            continue
        change = _change(
            f"pp 2, {axis.of(half)}", strategy, [*around(replica, "pp 2 < ", " >"), degree(axis.axis, half)]
        )
        if _gpus(change) == size(strategy):
            yield _parameter("pipeline", "pipeline", axis.of(axis.axis.degree), (change,))
            return


def _replica(strategy: Strategy) -> Strategy:
    """The outermost part that is no replica axis."""
    while isinstance(strategy, Axis) and strategy.kind is AxisKind.DP and strategy.body is not None:
        strategy = strategy.body
    return strategy


def _attention_beside(strategy: Strategy, axes: list[_Placed]) -> Iterator[SensitivityParameter]:
    """Attention's tp on the GPUs of experts that are alone in their stage."""
    for axis in axes:
        above = axis.inside[-1] if axis.inside else None
        is_alone = axis.axis.body is None and (above is None or isinstance(above, Axis))
        if axis.axis.kind is AxisKind.EP and is_alone and axis.axis.degree % 2 == 0:
            change = _change("tp 2", strategy, around(axis.axis, "", " ; tp 2"))
            yield _parameter("attention tp", "tp of attention", "tp 1", (change,))


def _options(plan: Plan, strategy: Strategy, placed: _Placed) -> Iterator[SensitivityParameter]:
    axis = placed.axis
    if axis.kind is AxisKind.PP:
        yield _micro(strategy, placed)
    if axis.kind is AxisKind.EP:
        own = _count(axis, "overlap", 1)
        yield _switched(strategy, placed, "overlap", str(own), {str(3 - own): f"overlap {3 - own}"})
        experts = plan.facts.model.experts
        if experts is not None and experts.shared_ffn:
            yield _shared(strategy, placed)
    if axis.kind is AxisKind.TP and not _in_experts(placed):
        is_on = option(axis, "sp") is not None
        other = {"off": ""} if is_on else {"on": "sp"}
        yield _switched(strategy, placed, "sp", "on" if is_on else "off", other)
        own = _count(axis, "dcp", 1)
        counts = [own * 2, *([own // _factor(own)] if own > 1 else [])]
        yield _switched(strategy, placed, "dcp", str(own), {str(n): f"dcp {n}" for n in counts if n <= axis.degree})


def _micro(strategy: Strategy, placed: _Placed) -> SensitivityParameter:
    own = _count(placed.axis, "micro", placed.axis.degree)
    counts = [*([own // _factor(own)] if own > 1 else []), own * 2]
    return _switched(strategy, placed, "micro", str(own), {str(n): f"micro {n}" for n in counts})


def _shared(strategy: Strategy, placed: _Placed) -> SensitivityParameter:
    written = option(placed.axis, "shared")
    own = written.span.text.split()[-1] if written else "sharded"
    other = "sharded" if own == "replicated" else "replicated"
    return _switched(strategy, placed, "shared", own, {other: f"shared {other}"})


def _switched(strategy: Strategy, placed: _Placed, name: str, own: str, others: dict[str, str]) -> SensitivityParameter:
    title = placed.named(name)
    changes = tuple(
        _change(placed.named(f"{name} {label}"), strategy, [with_option(placed.axis, name, text)])
        for label, text in others.items()
    )
    return _parameter(title, title, placed.named(f"{name} {own}"), changes)


def _in_experts(placed: _Placed) -> bool:
    return any(
        (isinstance(part, Axis) and part.kind is AxisKind.EP)
        or (isinstance(part, Scope) and part.kind is ScopeKind.MOE)
        for part in placed.inside
    )


def _count(axis: Axis, name: str, default: int) -> int:
    """The number of an option with one; what is written otherwise was refused before."""
    written = option(axis, name)
    return int(written.span.text.split()[-1]) if written else default


def _factor(number: int) -> int:
    """The smallest prime factor."""
    return next((n for n in range(2, int(number**0.5) + 1) if number % n == 0), number)


def _change(label: str, strategy: Strategy, edits: list[Edit] | tuple[Edit, ...]) -> Change:
    return Change(label, edited(strategy, edits))


def _gpus(change: Change) -> int | None:
    """GPUs of a text, legal or not; None where it cannot be read."""
    file = parse(Source("whatif", str(change.to))).file
    return size(file.strategies[0].body) if file and file.strategies else None


def _parameter(name: str, title: str, value: str, changes: tuple[Change, ...]) -> SensitivityParameter:
    return SensitivityParameter(name.replace(" ", "_"), title, ParameterKind.STRATEGY, value, changes)


def edited(strategy: Strategy, edits: Iterable[Edit]) -> str:
    """The strategy's text with these edits."""
    whole = strategy.outer
    text, place = "", whole.start
    for edit in sorted(edits, key=lambda one: (one.span.start, one.span.end)):
        text += whole.source.text[place : edit.span.start] + edit.replacement
        place = edit.span.end
    return text + whole.source.text[place : whole.end]


def degree(axis: Axis, number: int) -> Edit:
    """Another degree of an axis."""
    return Edit(axis.span, f"{axis.kind} {number}")


def around(strategy: Strategy, opening: str, closing: str) -> tuple[Edit, Edit]:
    """Text put before and behind a part."""
    whole = strategy.outer
    return Edit(_at(whole, whole.start), opening), Edit(_at(whole, whole.end), closing)


def with_option(node: Axis | Scope, name: str, text: str) -> Edit:
    """An option with these words in the place of what is written of it, or behind the others; none where empty."""
    kept = [option.span.text for option in node.options if option.name != name]
    wanted = [*kept, text] if text else kept
    written = f" [{', '.join(wanted)}]" if wanted else ""
    return Edit(_brackets(node), written)


def option(node: Axis | Scope, name: str) -> Option | None:
    """An option as written, or None."""
    return next((one for one in node.options if one.name == name), None)


def _brackets(node: Axis | Scope) -> Span:
    """From behind an axis's degree or a scope's name to the end of its options."""
    source, start = node.span.source, node.span.end
    if not node.options:
        return _at(node.span, start)
    return source.span(start, source.text.index("]", node.options[-1].span.end) + 1)


def _at(span: Span, offset: int) -> Span:
    return span.source.span(offset, offset)
