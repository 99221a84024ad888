"""The parameters of a plan's hardware: each figure of its devices, links and network, some per cent less and more.

Takes a plan; each parameter is a figure that the `cluster` block can state, or one that only a calibration knows. What
the plan does not state, or where a calibration holds instead, is a parameter with a reason and no change.

A plan with one pool has one device. Where pools have their own GPUs, each pool's device changes alone, even if others
have the same: who buys memory bandwidth for decode need not buy it for prefill.

Formulas of a calibration take the datasheet's peaks, memory bandwidth and link rates, and coefficients that are shares
of them: with a peak, all that is fitted to it scales. A few coefficients are absolute (seconds of a launch or of a step
of a collective, the rate at which a multiprocessor copies), and belong to no datasheet figure. They are parameters of
their own, named for what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dagc.catalog.calibration import Calibration, Regime, load_exchanges
from dagc.catalog.device import Backend, ClusterSpec, DeviceSpec
from dagc.plan.deployment import Deployment, Pool, Service
from dagc.plan.plan import Plan
from dagc.units import format_bytes, format_gpus, format_money, format_rate, format_seconds, format_share
from dagc.whatif.parameter import Change, ParameterKind, SensitivityParameter

_NOT_GIVEN = "not stated"
_FITTED = "fitted to measurements, which hold instead"
_SECONDS_AN_HOUR = 3600
_SHARES_OF_LINKS = (
    ("link_efficiency", "achieved share of links"),
    ("network_efficiency", "achieved share of the network"),
)

Scaled = Callable[[float], Plan | None]
"""The plan with a figure that many times as large; None where there is no such figure."""


def hardware(plan: Plan, step: float) -> tuple[SensitivityParameter, ...]:
    """Parameters of the devices, then of the cluster; each figure changes by `step`, a share, down and up."""
    return (*_devices(plan, step), *_cluster(plan, step))


def _devices(plan: Plan, step: float) -> Iterator[SensitivityParameter]:
    for holder in holders(plan):
        device = holder.device
        rate, fitted = device.bandwidth_bytes_per_second, device.calibration is not None
        read = (
            ("bandwidth", "memory bandwidth", "bandwidth_bytes_per_second", rate and format_rate(rate, "bytes/s"), ""),
            ("memory", "memory", "memory_bytes", format_bytes(device.memory_bytes), ""),
            *_shares_of_peaks(device, fitted),
        )
        for name, title, field, value, reason in read:
            yield _scaled(_of(holder, name, title), value, _fields(holder, device, field), step, reason)
        for dtype, peak in device.flops.items():
            text = format_rate(peak, "flop/s")
            yield _scaled(_of(holder, f"compute.{dtype}", f"{dtype} peak"), text, _peaks(holder, dtype), step)
        launch = _of(holder, KERNEL_LAUNCH.name, KERNEL_LAUNCH.title)
        yield _scaled(launch, "as fitted", _launches(holder), step, "" if fitted else "no launch is fitted")


def _shares_of_peaks(device: DeviceSpec, fitted: bool) -> tuple[tuple[str, str, str, str, str], ...]:
    reason = _FITTED if fitted else ""
    compute, memory = format_share(device.compute_efficiency), format_share(device.memory_efficiency)
    return (
        ("efficiency", "achieved share of peaks", "compute_efficiency", compute, reason),
        ("memory_efficiency", "achieved share of bandwidth", "memory_efficiency", memory, reason),
    )


def _of(holder: Holder, name: str, title: str) -> tuple[str, str]:
    if not holder.pool:
        return name, title
    return f"{holder.pool}.{name}", f"{title} of {holder.pool}"


def _fields(holder: Holder, device: DeviceSpec, field: str) -> Scaled:
    return lambda factor: holder.put(_times(device, field, factor))


def _peaks(holder: Holder, dtype: Any) -> Scaled:
    peaks = holder.device.flops
    return lambda factor: holder.put(replace(holder.device, flops={**peaks, dtype: peaks[dtype] * factor}))


def _launches(holder: Holder) -> Scaled:
    def scaled(factor: float) -> Plan | None:
        device = launched_at(holder.device, factor)
        return None if device is None else holder.put(device)

    return scaled


def _cluster(plan: Plan, step: float) -> Iterator[SensitivityParameter]:
    cluster = plan.facts.cluster
    rates = (
        ("link", "link bandwidth", "link_bytes_per_second"),
        ("network", "network bandwidth", "network_bytes_per_second"),
    )
    for name, title, field in rates:
        rate = getattr(cluster, field)
        yield _scaled((name, title), rate and format_rate(rate, "bytes/s"), _in_cluster(plan, field), step)
    yield from _latencies(plan, step)
    yield from _achieved(plan, step)
    reserve = _in_cluster(plan, "reserve_bytes")
    yield _scaled(("reserve", "reserve of the engine"), format_bytes(cluster.reserve_bytes), reserve, step)
    price = cluster.usd_per_gpu_second
    if price is not None:
        text = f"{format_money(price * _SECONDS_AN_HOUR)} an hour"
        yield _scaled(("price", "price of a GPU"), text, _in_cluster(plan, "usd_per_gpu_second"), step)
    yield from _choices(plan)


def _latencies(plan: Plan, step: float) -> Iterator[SensitivityParameter]:
    cluster = plan.facts.cluster
    for what, field in ((LINK_STEP, "link_latency_seconds"), (NETWORK_HOP, "network_latency_seconds")):
        is_given = what.name in cluster.spans or not exchanges(cluster)
        value = format_seconds(getattr(cluster, field)) if is_given else "as fitted"
        note = "" if is_given else f"scales the fitted {', '.join(sorted(what.coefficients))} of every exchange"
        yield _scaled((what.name, what.title), value, _latency(plan, what, field), step, note=note)
    for what in (EXCHANGE_LAUNCH, EXCHANGE_COPY):
        reason = "" if exchanging_at(cluster, what, 2.0) else "nothing of it is fitted"
        yield _scaled((what.name, what.title), "as fitted", _exchange(plan, what), step, reason)


def _achieved(plan: Plan, step: float) -> Iterator[SensitivityParameter]:
    cluster = plan.facts.cluster
    for name, title in _SHARES_OF_LINKS:
        reason = "" if name in cluster.spans or not exchanges(cluster) else _FITTED
        yield _scaled((name, title), format_share(getattr(cluster, name)), _in_cluster(plan, name), step, reason)


def _choices(plan: Plan) -> Iterator[SensitivityParameter]:
    """What is no amount: the size of a node, who carries exchanges, and ranks that are slow."""
    cluster = plan.facts.cluster
    sizes = [size for size in (cluster.gpus_per_node // 2, cluster.gpus_per_node * 2) if size]
    changes = tuple(Change(format_gpus(size), _put(plan, replace(cluster, gpus_per_node=size))) for size in sizes)
    yield SensitivityParameter("node", "node", ParameterKind.HARDWARE, format_gpus(cluster.gpus_per_node), changes)
    other = Backend.CUSTOM if cluster.collectives is Backend.NCCL else Backend.NCCL
    carried = Change(str(other), _put(plan, replace(cluster, collectives=other)))
    yield SensitivityParameter(
        "collectives", "collectives", ParameterKind.HARDWARE, str(cluster.collectives), (carried,)
    )
    if cluster.slowed:
        ranks = ", ".join(f"{rank} by {format_share(share)}" for rank, share in cluster.slowed)
        even = Change("none", _put(plan, replace(cluster, slowed=())))
        yield SensitivityParameter("slow", "slow ranks", ParameterKind.HARDWARE, ranks, (even,))


def _in_cluster(plan: Plan, field: str) -> Scaled:
    return lambda factor: _put(plan, _times(plan.facts.cluster, field, factor))


def _latency(plan: Plan, what: Absolute, field: str) -> Scaled:
    def scaled(factor: float) -> Plan:
        cluster: ClusterSpec = _times(plan.facts.cluster, field, factor)
        return _put(plan, exchanging_at(cluster, what, factor) or cluster)

    return scaled


def _exchange(plan: Plan, what: Absolute) -> Scaled:
    def scaled(factor: float) -> Plan | None:
        cluster = exchanging_at(plan.facts.cluster, what, factor)
        return None if cluster is None else _put(plan, cluster)

    return scaled


def _put(plan: Plan, cluster: ClusterSpec) -> Plan:
    return replace(plan, facts=replace(plan.facts, cluster=cluster))


def _times(spec: Any, field: str, factor: float) -> Any:
    return replace(spec, **{field: getattr(spec, field) * factor})


def _scaled(
    named: tuple[str, str], value: str | float | None, at: Scaled, step: float, reason: str = "", note: str = ""
) -> SensitivityParameter:
    """A figure less and more by `step`."""
    name, title = named
    if value is None or value == 0 or reason:
        return SensitivityParameter(name, title, ParameterKind.HARDWARE, "", reason=reason or _NOT_GIVEN)
    changed = ((f"{percent:+.3g} %", at(1 + percent / 100)) for percent in (-100 * step, 100 * step))
    changes = tuple(Change(label, plan, _impossible(plan)) for label, plan in changed if plan is not None)
    return SensitivityParameter(name, title, ParameterKind.HARDWARE, str(value), changes, note)


def _impossible(plan: Plan) -> str:
    """Why a plan cannot be: an achieved share of a peak above 1."""
    cluster = plan.facts.cluster
    devices = [cluster.device, *(device for _, device in plan.facts.devices)]
    shares = [share for device in devices for share in (device.compute_efficiency, device.memory_efficiency)]
    over = max([*shares, cluster.link_efficiency, cluster.network_efficiency]) > 1
    return "above 100 % of peak" if over else ""


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
        cluster = plan.facts.cluster
        return (Holder("", cluster.device, lambda device: _put(plan, replace(cluster, device=device))),)
    return tuple(_holder(plan, pool, len(pools) > 1) for pool in pools)


def _holder(plan: Plan, pool: Pool, is_one_of_many: bool) -> Holder:
    def put(device: DeviceSpec) -> Plan:
        return _in_pool(plan, pool, device)

    return Holder(pool.name if is_one_of_many else "", plan.device_of(pool), put)


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


_EXCHANGES = frozenset(
    {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send", "dispatch", "combine"}
)  # fmt: skip
"""What the names of regimes of exchanges begin with; all others are of computations."""


@dataclass(frozen=True, slots=True)
class Absolute:
    """Coefficients in seconds or bytes/s of one thing, and what that is."""

    name: str
    title: str
    coefficients: frozenset[str]


KERNEL_LAUNCH = Absolute("kernel_launch", "launch of a kernel", frozenset({"launch"}))
EXCHANGE_LAUNCH = Absolute(
    "exchange_launch", "launch of an exchange", frozenset({"launch", "launch_two", "nvls_launch"})
)  # fmt: skip
EXCHANGE_COPY = Absolute(
    "exchange_copy", "copy rate of dispatch and combine", frozenset({"sm_rate", "sm_rate_inside"})
)  # fmt: skip
LINK_STEP = Absolute("link_latency", "link latency", frozenset({"step"}))
NETWORK_HOP = Absolute("network_latency", "network latency", frozenset({"hop"}))


def launched_at(device: DeviceSpec, factor: float) -> DeviceSpec | None:
    """The device with other launches of kernels; None where none are fitted."""
    if device.calibration is None:
        return None
    own = device.calibration.regimes
    kernels = {name: regime for name, regime in own.items() if not _is_exchange(name)}
    changed = _rescaled(kernels, KERNEL_LAUNCH, factor)
    return None if changed == kernels else replace(device, calibration=_with(device.calibration, changed))


def exchanging_at(cluster: ClusterSpec, what: Absolute, factor: float) -> ClusterSpec | None:
    """The cluster with other coefficients of its exchanges; None where none of them is fitted.

    A device's own measurements of exchanges go before those of its preset, so both are among its own afterwards.
    """
    fitted = exchanges(cluster)
    changed = _rescaled(fitted, what, factor)
    if changed == fitted:
        return None
    own = cluster.device.calibration or Calibration(cluster.device.name, {})
    return replace(cluster, device=replace(cluster.device, calibration=_with(own, changed)))


def exchanges(cluster: ClusterSpec) -> Mapping[str, Regime]:
    """The regimes of exchanges that hold on a cluster, by name."""
    preset = load_exchanges(cluster.exchanges) if cluster.exchanges else None
    found: dict[str, Regime] = {}
    for measured in (preset, cluster.device.calibration):
        if measured is not None:
            found |= {name: regime for name, regime in measured.regimes.items() if _is_exchange(name)}
    return found


def _with(calibration: Calibration, regimes: Mapping[str, Regime]) -> Calibration:
    return replace(calibration, regimes={**calibration.regimes, **regimes})


def _is_exchange(regime: str) -> bool:
    return regime.partition("/")[0] in _EXCHANGES


def _rescaled(regimes: Mapping[str, Regime], what: Absolute, factor: float) -> dict[str, Regime]:
    return {name: _regime(regime, what, factor) for name, regime in regimes.items()}


def _regime(regime: Regime, what: Absolute, factor: float) -> Regime:
    coefficients = {
        name: value * factor if name in what.coefficients else value for name, value in regime.coefficients.items()
    }
    return replace(regime, coefficients=coefficients)
