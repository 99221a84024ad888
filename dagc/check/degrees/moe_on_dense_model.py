"""D202: GPUs or axes are set apart for the experts of a model that has none."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.scopes import kind_of, subtrees
from dagc.syntax.tree import Axis, Scope, ScopeKind, Strategy

CODE = Code("D202", "moe-on-dense-model")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each `moe`, unless it holds an `ep`, which is refused by itself."""
    if not plan.facts.model.is_dense:
        return
    for part in subtrees(plan.deployment.strategy.body):
        if isinstance(part, Scope) and part.kind is ScopeKind.MOE and not _splits_experts(part):
            yield CODE.at(
                part.span,
                f"`moe` names the experts, but {plan.facts.model.name} has none",
                "every layer of this model is dense",
                help=("leave `moe` out: the FFN of a dense layer is computed, and split, with attention",),
            )


def _splits_experts(scope: Strategy) -> bool:
    inside = subtrees(scope)
    return any(kind_of(part) is AxisKind.EP and isinstance(part, Axis) and part.degree > 1 for part in inside)
