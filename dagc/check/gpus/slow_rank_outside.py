"""G102: a slowed rank is none of the strategy's."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.plan import Plan

CODE = Code("G102", "slow-rank-outside")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One for each slowed rank that the deployment does not have."""
    deployment, cluster = plan.deployment, plan.facts.cluster
    for rank, _ in cluster.slowed:
        if rank >= deployment.gpus:
            yield CODE.at(
                cluster.spans.get(f"slow {rank}"),
                f"rank {rank} is slowed, and `{plan.name}` has no such rank",
                f"not one of 0 to {deployment.gpus - 1}",
                labels=(Label(deployment.strategy.body.outer, f"{gpus(deployment.gpus)}, numbered from 0"),),
                notes=deployment.derivation,
                help=(f"slow a rank from 0 to {deployment.gpus - 1}, or leave the entry out",),
            )
