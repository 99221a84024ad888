"""Every strategy that has the degrees of a flat notation, each in some place.

Turns a notation into trees, systematically: each degree stands in a chain around the stage, in attention's part of
the stage, or in the experts'; tensor parallelism perhaps in both parts, because one degree is often meant for both.
All orders of each chain are made. Most trees are illegal: which are not is judged by the rules of the language, not
here. Axes keep the places of the notation, so that a message about a reading underlines what was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product

from dagc.flat.notation import Degree, FlatAxis, Notation
from dagc.source import Span
from dagc.syntax.tree import Axis, AxisKind, Fold, Scope, ScopeKind, Strategy

Chain = Sequence[Degree]

_AROUND, _ATTENTION, _EXPERTS = "around", "attention", "experts"
_BOTH = (_ATTENTION, _EXPERTS)
_IMPLIED = ()

_PLACES: dict[FlatAxis, tuple[tuple[str, ...], ...]] = {
    FlatAxis.DP: ((_AROUND,), (_ATTENTION,), (_EXPERTS,), _IMPLIED),
    FlatAxis.PP: ((_AROUND,), (_ATTENTION,), (_EXPERTS,)),
    FlatAxis.EP: ((_AROUND,), (_ATTENTION,), (_EXPERTS,)),
    FlatAxis.TP: ((_AROUND,), (_ATTENTION,), (_EXPERTS,), _BOTH),
    FlatAxis.CP: ((_AROUND,), (_ATTENTION,), (_EXPERTS,)),
    FlatAxis.ETP: ((_EXPERTS,),),
}
"""Where a degree may be meant to stand: in one place or two, or nowhere because it follows from the others."""


def candidates(notation: Notation) -> Iterator[Strategy]:
    """Every tree of the degrees above 1; of a notation in which all are 1, each degree alone."""
    degrees = [degree for degree in notation.degrees if degree.value > 1]
    if not degrees:
        yield from (_axis(degree, None) for degree in notation.degrees)
        return
    for places in product(*(_PLACES[degree.axis] for degree in degrees)):
        chains = [
            [degree for degree, where in zip(degrees, places, strict=True) if part in where]
            for part in (_AROUND, _ATTENTION, _EXPERTS)
        ]
        for around, attention, experts in product(*(list(permutations(chain)) for chain in chains)):
            yield from _trees(around, _nest(attention, None), _nest(experts, None))


def _trees(around: Chain, attention: Strategy | None, experts: Strategy | None) -> Iterator[Strategy]:
    tree = _nest(around, _stage(attention, experts))
    if tree is not None:
        yield tree


def _stage(attention: Strategy | None, experts: Strategy | None) -> Strategy | None:
    """One part alone is named by its scope, two are folded."""
    if experts is None:
        return None if attention is None else scope(ScopeKind.ATTN, attention)
    if attention is None:
        return scope(ScopeKind.MOE, experts)
    has_ep = isinstance(experts, Axis) and experts.kind is AxisKind.EP
    return fold(experts if has_ep else scope(ScopeKind.MOE, experts), attention)


def _nest(chain: Chain, inside: Strategy | None) -> Strategy | None:
    tree = inside
    for degree in reversed(chain):
        tree = _axis(degree, tree)
    return tree


def _axis(degree: Degree, body: Strategy | None) -> Axis:
    kind = AxisKind.TP if degree.axis is FlatAxis.ETP else AxisKind(degree.axis.value)
    return axis(kind, degree.value, body, degree.span)


def axis(kind: AxisKind, degree: int, body: Strategy | None, span: Span) -> Axis:
    """An axis that stands for a place of the notation."""
    return Axis(kind, degree, (), body, span, span)


def scope(kind: ScopeKind, body: Strategy) -> Scope:
    """A scope around a strategy, in its place of the notation."""
    return Scope(kind, (), body, body.outer, body.outer)


def fold(experts: Strategy, attention: Strategy) -> Fold:
    """Experts and attention on the same GPUs."""
    return Fold((experts, attention), experts.outer.to(attention.outer))
