"""W106: neither branch of a fold divides the other, and copies fill the rest."""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.domains import is_experts
from dagc.plan.plan import Plan
from dagc.plan.scopes import subtrees
from dagc.plan.sizes import size
from dagc.syntax.tree import Fold

CODE = Code("W106", "fold-filled", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each such fold."""
    for part in subtrees(plan.deployment.strategy.body):
        if isinstance(part, Fold):
            sizes = [size(branch) for branch in part.branches]
            if lcm(*sizes) > max(sizes):
                yield _diagnostic(part)


def _diagnostic(fold: Fold) -> Diagnostic:
    width = size(fold)
    experts = next(size(branch) for branch in fold.branches if is_experts(branch))
    attention = next(size(branch) for branch in fold.branches if not is_experts(branch))
    return CODE.at(
        fold.outer,
        f"this fold takes {gpus(width)}, not {max(experts, attention)}",
        f"lcm({experts}, {attention}) = {width}",
        notes=(f"the experts are held {width // experts} times, attention {width // attention} times",),
        help=("choose sizes of which one divides the other, to avoid copies",),
    )
