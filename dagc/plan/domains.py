"""How the GPUs of one stage are cut, once for attention and once for the experts.

Turns the axes of a stage into two layouts of the same W ranks. A domain that nobody claims takes the axes that
apply to it; the rest of W is its data parallelism, the outermost factor. Assumes a legal strategy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm, prod

from dagc.degrees import AxisKind
from dagc.plan.layout import Factor, Layout
from dagc.plan.scopes import EXPERT_HEADS, kind_of, subtrees
from dagc.syntax.tree import Axis, Fold, Strategy

_ATTENTION_AXES = frozenset({AxisKind.DP, AxisKind.CP, AxisKind.TP})
_EXPERT_AXES = frozenset({AxisKind.EP, AxisKind.TP})


@dataclass(frozen=True, slots=True)
class Domains:
    """Both layouts of a stage that is not split into pools."""

    attention: Layout
    experts: Layout

    @property
    def width(self) -> int:
        """W: ranks of the stage."""
        return self.attention.size


def domains(stage: Strategy | None) -> Domains:
    """The domains of a stage; None is a stage of one GPU."""
    if isinstance(stage, Fold):
        return _folded(stage)
    factors = chain(stage)
    width = prod(factor.degree for factor in factors)
    return Domains(fill(_applying(factors, _ATTENTION_AXES), width), fill(_applying(factors, _EXPERT_AXES), width))


def chain(strategy: Strategy | None) -> tuple[Factor, ...]:
    """The axes of a strategy in which nothing branches, outermost first; scopes only name."""
    axes = () if strategy is None else (part for part in subtrees(strategy) if isinstance(part, Axis))
    return tuple(Factor(axis.kind, axis.degree, span=axis.span) for axis in axes)


def fill(factors: tuple[Factor, ...], width: int) -> Layout:
    """A layout of `width` ranks: what the factors leave over is an implied dp, outermost. Degrees of 1 that are
    implied are left out.
    """
    rest = width // prod(factor.degree for factor in factors)
    return Layout(factors if rest == 1 else (Factor(AxisKind.DP, rest, implied=True), *factors))


def is_experts(branch: Strategy) -> bool:
    """Whether a branch of a fold, or a pool, is the experts'."""
    return any(kind_of(part) in EXPERT_HEADS for part in subtrees(branch))


def _folded(fold: Fold) -> Domains:
    experts = next(chain(branch) for branch in fold.branches if is_experts(branch))
    attention = next(chain(branch) for branch in fold.branches if not is_experts(branch))
    width = lcm(_size(experts), _size(attention))
    return Domains(fill(attention, width), fill(experts, width))


def _applying(factors: tuple[Factor, ...], axes: frozenset[AxisKind]) -> tuple[Factor, ...]:
    return tuple(factor for factor in factors if factor.axis in axes)


def _size(factors: tuple[Factor, ...]) -> int:
    return prod(factor.degree for factor in factors)
