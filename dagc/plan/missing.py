"""Which facts a plan would have to state before it can be held in memory and priced, as the language writes them."""

from __future__ import annotations

from dagc.plan.plan import Plan


def missing_shapes(plan: Plan) -> tuple[str, ...]:
    """Fields of the model without which there is no memory, no graph and no time."""
    return tuple(f"model {name}" for name in plan.facts.model.missing())


def missing_rates(plan: Plan) -> tuple[str, ...]:
    """Fields of the cluster without which there is no time.

    A link is needed where GPUs share a node, a network where they do not fit into one.
    """
    cluster, deployment = plan.facts.cluster, plan.deployment
    devices = [plan.device_of(pool) for service in deployment.services for pool in service.pools]
    activation = plan.facts.model.activation_dtype
    lacking = {
        "device bandwidth": any(not device.bandwidth_bytes_per_second for device in devices),
        "device compute": any(not device.flops.get(activation) for device in devices),
        "cluster link": not cluster.link_bytes_per_second and deployment.gpus > 1 and cluster.gpus_per_node > 1,
        "cluster network": not cluster.network_bytes_per_second and deployment.gpus > cluster.gpus_per_node,
    }
    return tuple(name for name, missing in lacking.items() if missing)
