"""`dagc devices`: the GPUs that dagc knows, and the figures of one, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from dagc.cli import completing
from dagc.cli.printing import USAGE, print_json, print_names, print_text, text_or_json
from dagc.units import format_bytes, format_rate, format_seconds, format_share

if TYPE_CHECKING:
    from dagc.catalog.device import ClusterSpec, DeviceSpec


@click.command()
@click.argument("name", required=False, shell_complete=completing.devices)
@text_or_json
def devices(name: str | None, style: str) -> None:
    """List the devices, or show the figures of one."""
    from dagc.catalog.presets import device_names, device_sources, load_device

    if name is None:
        print_names("devices", device_names(), style)
        return
    cluster = load_device(name)
    if cluster is None:
        _refuse(name, device_names())
    elif style == "json":
        print_json(_document(cluster, device_sources(cluster.name)))
    else:
        click.echo("\n".join(_lines(cluster, device_sources(cluster.name))))


def _refuse(name: str, names: tuple[str, ...]) -> None:
    from dagc.catalog.presets import unknown_name
    from dagc.source import Source

    place = Source("dagc devices", name).span(0, len(name))
    print_text((unknown_name(place, "device", names),))
    raise SystemExit(USAGE)


def _document(cluster: ClusterSpec, sources: Mapping[str, str]) -> dict[str, Any]:
    fields = asdict(replace(cluster, device=replace(cluster.device, calibration=None)))
    device = fields.pop("device") | {"calibration": _calibration(cluster.device)}
    joined = {k: v for k, v in fields.items() if k not in ("name", "gpus", "spans", "exchanges")}
    return {"schema_version": 1, **{k: v for k, v in device.items() if k != "source"}, **joined, "sources": sources}


def _calibration(device: DeviceSpec) -> dict[str, Any] | None:
    """The error of each regime and where it is from; the coefficients are in the file."""
    if device.calibration is None:
        return None
    return {
        name: {"formula": r.formula, **asdict(r.residuals), "derived": r.derived, "source": r.source}
        for name, r in device.calibration.regimes.items()
    }


def _lines(cluster: ClusterSpec, sources: Mapping[str, str]) -> Iterator[str]:
    device = cluster.device
    yield f"{cluster.name}: {format_bytes(device.memory_bytes)}, nodes of {cluster.gpus_per_node}"
    reached = format_share(device.compute_efficiency)
    for dtype, flops in device.flops.items():
        yield f"{dtype:10}{format_rate(flops, 'flop/s'):>16}   {reached} achieved"
    yield _rate("memory", device.bandwidth_bytes_per_second, device.memory_efficiency)
    yield _rate("link", cluster.link_bytes_per_second, cluster.link_efficiency, cluster.link_latency_seconds)
    yield _rate(
        "network", cluster.network_bytes_per_second, cluster.network_efficiency, cluster.network_latency_seconds
    )
    yield from _fitted(device)
    yield ""
    yield "sources"
    for figure, source in sources.items():
        yield f"  {figure}: {source}"


def _fitted(device: DeviceSpec) -> Iterator[str]:
    """The error of each fitted formula, which takes the place of the flat shares."""
    if device.calibration is None:
        return
    yield ""
    yield "fitted formulas: median error and p90 error"
    for name, regime in device.calibration.regimes.items():
        found = regime.residuals
        origin = f"from {regime.derived}" if regime.derived else f"{found.rows:,} rows, {regime.source}"
        yield f"  {name:28}{format_share(found.median):>8}{format_share(found.p90):>8}   {origin}"


def _rate(name: str, bytes_per_second: float | None, share: float, latency_seconds: float | None = None) -> str:
    rate = "unknown" if bytes_per_second is None else format_rate(bytes_per_second, "bytes/s")
    latency = "" if latency_seconds is None else f", latency {format_seconds(latency_seconds)}"
    return f"{name:10}{rate:>16}   {format_share(share)} achieved{latency}"
