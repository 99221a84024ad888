"""Where the facts that a rule compares with were written."""

from __future__ import annotations

from collections.abc import Mapping

from dagc.diag.diagnostic import Label
from dagc.plan.plan import Plan
from dagc.source import Span


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
