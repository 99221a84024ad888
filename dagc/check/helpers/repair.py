"""Finds the spelling that was probably meant, by rearranging the tree.

Turns a part of a strategy and candidates in its place into help. A candidate is offered only when the
strategy with it is resolved to have fewer faults; where none is left, the whole strategy is shown with its GPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Choice, Offer
from dagc.diag.fixing import write
from dagc.plan.scopes import PHASES, Annotated, ScopeNode, annotate, kind_of, substitute, subtrees
from dagc.plan.sizes import judge_size, size
from dagc.source import Span
from dagc.syntax.tree import Axis, Fold, Option, Pools, Scope, ScopeKind, Strategy
from dagc.units import format_gpus

_MOST = 2
"""Spellings offered at once."""

IN_ORDER = "nest axes in the order `dp`, `pp`, then `ep` or `cp`, then `tp`; join `ep` and `cp` by `;`"
"""What to do where no rearrangement of a chain is legal."""

BOTH_PHASES = "write both phases in the deployment or a replica: `prefill < … > | decode < … >`"
"""What to do about a phase in the wrong place."""

_ATTENTION_ORDER = (AxisKind.DP, AxisKind.CP, AxisKind.TP)


def use(annotated: Annotated, part: Strategy, candidates: Iterable[Strategy], otherwise: str) -> tuple[Offer, ...]:
    """Offers those candidates in place of `part` that fix the strategy; `otherwise` when none does."""
    from dagc.syntax.printer import format_strategy

    before = _faults(annotated)
    written = annotated.strategy.body
    lines: list[tuple[str, Strategy, Strategy | None]] = []
    for candidate in candidates:
        whole = substitute(written, part, candidate)
        after = _faults(annotate(replace(annotated.strategy, body=whole)))
        if after < before and not judge_size(whole):
            text = f"`{format_strategy(whole if after == 0 else candidate)}`"
            text += "" if after else f" ({format_gpus(size(whole))})"
            lines.append((text, candidate, whole if after == 0 else None))
    wholes = {format_strategy(whole): whole for _, _, whole in lines if whole is not None}
    # Safe is another order of the same axes, and so of as many GPUs, where it is the only way out.
    safe = len(wholes) == 1 and all(_is_reordered(written, whole) for whole in wholes.values())
    choices = [
        _choice(part, text, candidate, applies=False) if whole is None else _choice(written, text, whole, safe)
        for text, candidate, whole in lines
    ]
    return (Offer(tuple((choice,) for choice in choices), otherwise=otherwise, most=_MOST),)


def said(text: str) -> tuple[Offer, ...]:
    """An offer without a strategy: where nothing can be rearranged, help says what to do."""
    return (Offer((), otherwise=text),)


def _choice(written: Strategy, text: str, instead: Strategy, safe: bool = False, applies: bool = True) -> Choice:
    """Writes a strategy in place of one, or of a part that is not legal alone; no fix that would lose a comment."""
    from dagc.syntax.printer import format_strategy

    place = written_whole(written)
    (fix,) = write(place, format_strategy(instead), safe=safe)
    return Choice(text, fix, applies=applies and "#" not in place.text)


def written_whole(strategy: Strategy) -> Span:
    """The text of a strategy, with the parentheses around a first or last branch, which are outside of a fold.

    Where a comment is in it, which may hold parentheses of its own, it is the text alone.
    """
    if "#" in strategy.outer.text:
        return strategy.outer
    start, end, source = strategy.outer.start, strategy.outer.end, strategy.outer.source
    depth = lowest = 0
    for sign in strategy.outer.text:
        depth += (sign == "(") - (sign == ")")
        lowest = min(lowest, depth)
    for _ in range(-lowest):
        start = source.text.rindex("(", 0, start)
    for _ in range(depth - lowest):
        end = source.text.index(")", end) + 1
    return source.span(start, end)


def _is_reordered(written: Strategy, whole: Strategy) -> bool:
    """Whether both are axes one inside the other, the same ones."""
    before, after = (sorted((a.kind, a.degree, str(a.options)) for a in axes_in(tree)) for tree in (written, whole))
    return before == after and all(isinstance(part, Axis) for tree in (written, whole) for part in subtrees(tree))


def _faults(annotated: Annotated) -> int:
    return sum(node.fault is not None for node in annotated.nodes)


# Chains: axes and scopes one inside the other, with nothing beside them


@dataclass(frozen=True, slots=True)
class Chain:
    """`top` is the outermost node, `axes` all of them outermost first, `tail` the fold or pools at the end."""

    top: Strategy
    axes: tuple[Axis, ...]
    tail: Strategy | None


def chain_around(node: ScopeNode) -> Chain:
    """The longest chain around a node."""
    top = node.syntax
    for around in reversed(node.enclosing):
        if isinstance(around, Fold | Pools) or kind_of(around) in PHASES:
            break
        top = around
    return chain_from(top)


def chain_from(top: Strategy | None) -> Chain:
    """The chain that begins with this node."""
    axes: list[Axis] = []
    at = top
    while isinstance(at, Axis | Scope) and at.kind not in PHASES:
        axes += [at] if isinstance(at, Axis) else []
        at = at.body
    assert top is not None
    return Chain(top, tuple(axes), at)


def orderings(chain: Chain) -> list[Strategy]:
    """The legal spellings of a chain's axes, likeliest first: nested in the order of the scopes, or folded."""
    by_kind = merged(chain.axes)
    outer = [by_kind[kind] for kind in (AxisKind.DP, AxisKind.PP) if kind in by_kind]
    inner = [by_kind[kind] for kind in (AxisKind.CP, AxisKind.EP, AxisKind.TP) if kind in by_kind]
    if chain.tail is not None:
        return [nest([*outer, *inner], chain.tail), nest(outer, chain.tail)]
    return [*_two_dps(chain.axes), nest([*outer, *inner], None), *_folded(by_kind), *_attention_dp(chain.axes)]


def _folded(by_kind: dict[AxisKind, Axis]) -> list[Strategy]:
    experts = by_kind.get(AxisKind.EP)
    if experts is None:
        return []
    found: list[Strategy] = []
    for kinds in (_ATTENTION_ORDER[1:], _ATTENTION_ORDER):
        attention = [by_kind[kind] for kind in kinds if kind in by_kind]
        outer = [by_kind[kind] for kind in (AxisKind.DP, AxisKind.PP) if kind in by_kind and kind not in kinds]
        if attention:
            found.append(nest(outer, fold(nest([experts], None), nest(attention, None))))
    return found


def _two_dps(axes: Sequence[Axis]) -> list[Strategy]:
    """The outermost `dp` around stages and the others as attention's own, where something is between them."""
    copies = [i for i, axis in enumerate(axes) if axis.kind is AxisKind.DP]
    if len(copies) < 2 or copies[1] == copies[0] + 1:
        return []
    rest = merged([axis for i, axis in enumerate(axes) if i != copies[0]])
    stages = [rest[AxisKind.PP]] if AxisKind.PP in rest else []
    attention = nest([rest[kind] for kind in _ATTENTION_ORDER if kind in rest], None)
    experts = rest.get(AxisKind.EP)
    stage = fold(nest([experts], None), attention) if experts else scope(ScopeKind.ATTN, attention)
    return [nest([axes[copies[0]], *stages], stage)]


def _attention_dp(axes: Sequence[Axis]) -> list[Strategy]:
    """A `dp` that was written inside something as attention's own, in a stage."""
    by_kind = merged(axes)
    if AxisKind.EP in by_kind or all(axis.kind is not AxisKind.DP for axis in axes[1:]):
        return []
    attention = [by_kind[kind] for kind in _ATTENTION_ORDER if kind in by_kind]
    outer = [by_kind[AxisKind.PP]] if AxisKind.PP in by_kind else []
    return [nest(outer, scope(ScopeKind.ATTN, nest(attention, None)))]


def merged(axes: Sequence[Axis]) -> dict[AxisKind, Axis]:
    """One axis of each kind: degrees of those written twice multiply, the first of each option stays."""
    found: dict[AxisKind, Axis] = {}
    for kind in dict.fromkeys(axis.kind for axis in axes):
        alike = [axis for axis in axes if axis.kind is kind]
        degree = prod(axis.degree for axis in alike)
        options: dict[str, Option] = {}
        for option in (option for axis in alike for option in axis.options):
            options.setdefault(option.name, option)
        found[kind] = replace(alike[0], degree=degree, options=tuple(options.values()), body=None)
    return found


# Building


def nest(axes: Sequence[Axis], inside: Strategy | None) -> Strategy:
    """Axes one inside the other, outermost first. At least one axis, or something inside."""
    tree = inside
    for axis in reversed(axes):
        tree = replace(axis, body=tree)
    assert tree is not None
    return tree


def fold(first: Strategy, second: Strategy) -> Fold:
    """Two branches on the same GPUs."""
    return Fold((first, second), first.outer)


def pools(branches: Sequence[Strategy]) -> Strategy:
    """Branches on GPUs of their own; one alone is no pool."""
    return branches[0] if len(branches) == 1 else Pools(tuple(branches), branches[0].outer)


def scope(kind: ScopeKind, inside: Strategy) -> Scope:
    """A named domain or phase around a strategy."""
    return Scope(kind, (), inside, inside.outer, inside.outer)


def axes_in(strategy: Strategy) -> tuple[Axis, ...]:
    """Every axis of a tree, in the order of the text."""
    return tuple(part for part in subtrees(strategy) if isinstance(part, Axis))


def attention_nest(axes: Sequence[Axis]) -> Strategy | None:
    """Attention's axes among these, one inside the other; None when there are none."""
    by_kind = merged(axes)
    found = [by_kind[kind] for kind in _ATTENTION_ORDER if kind in by_kind]
    return nest(found, None) if found else None
