"""The devices of a plan, each with a way to put another in its place.

A plan with one pool has one device. Where pools have their own GPUs, each pool's device changes alone, even if others
have the same: who buys memory bandwidth for decode need not buy it for prefill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dagc.catalog.device import DeviceSpec
from dagc.plan.deployment import Deployment, Pool, Service
from dagc.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose device it is (empty where there is but one), the device, and the plan with another."""

    pool: str
    device: DeviceSpec
    put: Callable[[DeviceSpec], Plan]


def holders(plan: Plan) -> tuple[Holder, ...]:
    """The device of each pool, in the order of the pools."""
    pools = [pool for service in plan.deployment.services for pool in service.pools]
    if len(pools) == 1 and pools[0].device is None:
        return (Holder("", plan.facts.cluster.device, lambda device: _in_cluster(plan, device)),)
    return tuple(_holder(plan, pool, len(pools) > 1) for pool in pools)


def _holder(plan: Plan, pool: Pool, is_one_of_many: bool) -> Holder:
    def put(device: DeviceSpec) -> Plan:
        return _in_pool(plan, pool, device)

    return Holder(pool.name if is_one_of_many else "", plan.device_of(pool), put)


def _in_cluster(plan: Plan, device: DeviceSpec) -> Plan:
    cluster = replace(plan.facts.cluster, device=device)
    return replace(plan, facts=replace(plan.facts, cluster=cluster))


def _in_pool(plan: Plan, pool: Pool, device: DeviceSpec) -> Plan:
    """The plan in which one pool has a device that no text names."""
    name = f"{device.name} of {pool.name}"
    facts = replace(plan.facts, devices=(*plan.facts.devices, (name, device)))
    services = tuple(_service(plan.deployment, pool, name))
    return replace(plan, deployment=replace(plan.deployment, services=services), facts=facts)


def _service(deployment: Deployment, changed: Pool, name: str) -> Iterator[Service]:
    for service in deployment.services:
        pools = tuple(replace(pool, device=name) if pool is changed else pool for pool in service.pools)
        yield replace(service, pools=pools)
