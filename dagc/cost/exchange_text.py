"""The arithmetic of an exchange in words, and where its coefficients come from."""

from __future__ import annotations

from typing import NamedTuple

from dagc.cost.duration import rate_text
from dagc.ops.communication import Communication
from dagc.ops.fabric import Chosen, Fabric
from dagc.units import format_bytes, format_seconds


class Shown(NamedTuple):
    """The slowest group of an exchange: `load` bytes of its member with most, and its seconds of latency.

    The group has `size` members, `local` of them in the fullest of its `nodes`.
    """

    op: type[Communication]
    load: float
    size: int
    nodes: int
    local: int
    latency: float


def exchange_text(shown: Shown, fabric: Fabric, chosen: Chosen) -> str:
    """What is exchanged between whom, over which wires at which achieved rate, and the latency."""
    op, nodes, local = shown.op, shown.nodes, shown.local
    latency = f"latency {format_seconds(shown.latency)}"
    if fabric.arrival_seconds and not op.is_message:
        latency += f" with {format_seconds(fabric.arrival_seconds)} until all hosts have launched"
    if op.is_message:
        wires = _wires(fabric, chosen, nodes, 1)
        return f"{op.pattern} of {format_bytes(shown.load)}: {wires}, {latency}"
    name = op.name.replace("_", "-")
    spread = f"over {shown.size} ranks" + (f", {local} in a node on {nodes} nodes" if nodes > 1 else " of one node")
    backend = chosen.name.partition("/")[2].replace("_", "-")
    return (
        f"{name} ({backend}) of {format_bytes(shown.load)} {spread}: {_wires(fabric, chosen, nodes, local)}, {latency}"
    )


def _wires(fabric: Fabric, chosen: Chosen, nodes: int, local: int) -> str:
    wires, values = fabric.wires, chosen.values
    link = ("link", float(wires.link) * values["share"])
    network = ("network", float(wires.network) * values.get("network_share", 1.0))
    used = [link] if nodes == 1 else [network] if local == 1 else [link, network]
    return " and ".join(f"{name} {rate_text(rate, 'bytes/s')}" for name, rate in used)


def outside(shown: Shown, chosen: Chosen) -> tuple[str, ...]:
    """Names of what lies outside of the measurements; nothing where there are none."""
    inputs = {"ranks": float(shown.size), "nodes": float(shown.nodes), "bytes": shown.load}
    return chosen.regime.outside(inputs) if chosen.regime else ()


def exchange_source(fabric: Fabric, chosen: Chosen, past: tuple[str, ...]) -> str:
    """The regime and its measurements, or the cluster's figures; what was not measured here, and what lies outside."""
    regime = chosen.regime
    if regime is None:
        return f"α-β, cluster {fabric.cluster.name}"
    derived = f"; derived: {regime.derived}" if regime.derived else ""
    beyond = f"; extrapolated in {', '.join(past)}" if past else ""
    return f"{chosen.name}, fitted to {regime.source}{derived}{beyond}"
