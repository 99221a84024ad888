"""Why the plan has its size: the derivation line by line, the two domains, and the assumptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from dagc.export.page.markup import joined, table, tag, ticked
from dagc.results.facts import assumed
from dagc.results.summary import AttentionDomain, ExpertDomain, FactsRecord, PoolRecord, Summary
from dagc.units import format_bytes, format_rate

_ATTENTION, _EXPERTS = ("tp", "cp", "dp"), ("tp", "ep", "dp")


def size(summary: Summary) -> Markup:
    """The derivation and a table of the pools."""
    steps = (tag("li", ticked(line)) for line in summary.derivation)
    naive = (
        tag("p", f"Not {summary.naive_product:,}, the product of all degrees.", class_="hint")
        if summary.naive_product != summary.gpus
        else None
    )
    heads = ("pool", "GPUs", "ranks per stage", "attention", "experts")
    pools = tag("div", table(heads, map(_pool, summary.pools)), class_="wide")
    return joined((tag("ol", steps, class_="derivation"), naive, pools))


def facts(summary: Summary) -> Markup:
    """Model, cluster, workload and engine with their sources."""
    rows = (
        tag("tr", tag("th", name, scope="row"), tag("td", facts_text)) for name, facts_text in _facts(summary.facts)
    )
    return tag("table", rows, class_="facts")


def _pool(pool: PoolRecord) -> Markup:
    domains = pool.domains
    cells = (
        f"{pool.gpus:,}",
        f"{pool.width:,} × {pool.stages:,} stage{'s' * (pool.stages != 1)}",
        _factors(domains.attention, _ATTENTION),
        _factors(domains.experts, _EXPERTS),
    )
    return tag("tr", tag("th", pool.name, scope="row"), (tag("td", cell) for cell in cells))


def _factors(domain: AttentionDomain | ExpertDomain | None, axes: Sequence[str]) -> str:
    if domain is None:
        return "–"
    shown = [(axis, getattr(domain, axis), domain.implied.get(axis, 1)) for axis in axes if getattr(domain, axis) > 1]
    return " × ".join(f"{axis} {degree}{_implied(degree, given)}" for axis, degree, given in shown) or "whole"


def _implied(degree: int, implied: int) -> str:
    return "" if implied == 1 else " (implied)" if implied == degree else f" ({implied} of it implied)"


def _facts(facts: FactsRecord) -> Iterator[tuple[str, str]]:
    model, cluster, workload = facts.model, facts.cluster, facts.workload
    experts = f", {model['experts']} experts, top {model['top']}" if model["experts"] else ""
    layers = f"{model['layers']} layers" if model["layers"] else "layers not stated"
    yield "model", f"{model['name']}: {layers}{experts}; {model['source']}"
    device = cluster["device"]
    yield "cluster", f"{_cluster(cluster)}; {device['source']}"
    yield "workload", _workload(workload)
    if facts.engine:
        yield "engine", f"{facts.engine['name']} {facts.engine['version']}"
    defaults = assumed(facts)
    if defaults:
        yield "defaults", defaults


def _cluster(cluster: dict[str, Any]) -> str:
    device = cluster["device"]
    parts = [f"{device['name']} of {format_bytes(device['memory_bytes'])}", f"{cluster['gpus_per_node']} per node"]
    if cluster["gpus"]:
        parts.insert(0, f"{cluster['gpus']:,} GPU{'s' * (cluster['gpus'] != 1)}")
    rates = ((device["bandwidth_bytes_per_second"], "memory"), (cluster["link_bytes_per_second"], "link"),
             (cluster["network_bytes_per_second"], "network"))  # fmt: skip
    parts += [f"{what} {format_rate(rate, 'bytes/s')}" for rate, what in rates if rate]
    return f"{cluster['name']}: {', '.join(parts)}"


def _workload(workload: dict[str, Any]) -> str:
    concurrency = workload["concurrency"]
    many = f"{concurrency} requests in flight" if concurrency else f"{workload['batch']} sequences"
    many = "open loop" if "open_loop" in workload else many
    routing = workload["routing"] + (f" {workload['zipf_exponent']:g}" if workload["zipf_exponent"] else "")
    return f"{many}, {workload['prompt']:,} tokens in and {workload['output']:,} out, {routing} routing"
