"""Labels on the facts, axes and scopes that a message is about, and how messages name them."""

from __future__ import annotations

from collections.abc import Mapping

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Label
from dagc.plan.plan import Plan
from dagc.plan.scopes import MAY_STAND, Kind, Place, ScopeNode, kind_of
from dagc.source import Span
from dagc.syntax.tree import Axis, Scope, ScopeKind, Strategy

SPLITS: dict[Kind, str] = {
    AxisKind.DP: "splits the requests",
    AxisKind.PP: "splits the layers",
    AxisKind.EP: "splits the experts of each layer",
    AxisKind.TP: "splits heads and matrices",
    AxisKind.CP: "splits the sequence for attention",
    ScopeKind.ATTN: "names the attention of a stage",
    ScopeKind.MOE: "names the experts of a stage",
    ScopeKind.PREFILL: "names a phase",
    ScopeKind.DECODE: "names a phase",
}

_SHOWN = (
    Place.DEPLOYMENT, Place.REPLICA, Place.STAGE, Place.ATTENTION, Place.EXPERTS, Place.EXPERT_GROUP,
)  # fmt: skip
"""The places of the typed table; the others are branches and pools of these."""


def label(spans: Mapping[str, Span], text: str, *names: str) -> tuple[Label, ...]:
    """A label on the first of these fields that was written; none for a preset's."""
    return next(((Label(spans[name], text),) for name in names if name in spans), ())


def cluster_gpus(plan: Plan) -> int:
    """GPUs that a plan takes of its cluster: pools with a device of their own are not among them."""
    pools = [(service, pool) for service in plan.deployment.services for pool in service.pools]
    return plan.deployment.replicas * sum(s.replicas * p.gpus_per_replica for s, p in pools if p.device is None)


def states(plan: Plan, block: str) -> bool:
    """Whether a block was written, rather than filled in with defaults that its author never saw."""
    return block not in plan.facts.defaulted


def written(strategy: Strategy) -> str:
    """An axis or scope as a message names it."""
    if isinstance(strategy, Axis):
        return f"`{strategy.kind} {strategy.degree}`"
    return f"`{strategy.kind}`" if isinstance(strategy, Scope) else "the strategy"


def places(kind: Kind) -> str:
    """Where an axis or scope may occur."""
    names = [place.value for place in _SHOWN if place in MAY_STAND[kind]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def nearest_around(node: ScopeNode) -> Axis | Scope | None:
    """The innermost axis or scope around a node."""
    return next((one for one in reversed(node.enclosing) if isinstance(one, Axis | Scope)), None)


def around_label(node: ScopeNode, text: str) -> tuple[Label, ...]:
    """A label on what is around a node; none at the top."""
    around = nearest_around(node)
    return () if around is None else (Label(around.span, text),)


def same_around(node: ScopeNode) -> Span | None:
    """Where the axis or scope of the same kind around a node was written."""
    kind = kind_of(node.syntax)
    return next(
        (one.span for one in reversed(node.enclosing) if isinstance(one, Axis | Scope) and one.kind is kind), None
    )
