"""The inputs and assumptions of a plan as a record: what was stated, what a preset gave, what was assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.model import ModelSpec
from dagc.plan.plan import Facts
from dagc.plan.workload import Workload
from dagc.results import summary as out
from dagc.units import counted

if TYPE_CHECKING:
    from dagc.engines.engine import Engine

Data = dict[str, Any]

SECONDS_PER_HOUR = 3600.0


def facts_of(facts: Facts) -> out.FactsRecord:
    """Model, cluster, workload and engine in SI units, and the blocks that were not written."""
    return out.FactsRecord(
        defaulted=list(facts.defaulted),
        model=_model(facts.model),
        cluster=_cluster(facts.cluster),
        workload=_workload(facts.workload),
        engine=_engine(facts.engine),
    )


def assumed(facts: out.FactsRecord) -> str | None:
    """In words, the blocks that took their defaults and what these are."""
    workload = facts.workload
    batch = counted(workload["batch"], "sequence")
    values = {
        "model": facts.model["name"],
        "cluster": facts.cluster["name"],
        "workload": f"of {batch}, {workload['prompt']} tokens in and {workload['output']} out",
    }
    return "; ".join(f"{name} {values[name]}" for name in facts.defaulted) or None


def _model(model: ModelSpec) -> Data:
    """`experts` is the number a layer; `missing` names the shapes that are not stated."""
    return {
        "name": model.name,
        "source": model.source,
        "layers": model.layers,
        "hidden": model.hidden,
        "vocab": model.vocab,
        "attention": model.attention.kind.value if model.attention else None,
        "experts": model.expert_count,
        "top": model.top,
        "weight_dtype": model.weight_dtype.value,
        "declared_parameters": model.declared_parameters,
        "missing": list(model.missing()),
    }


def _engine(engine: Engine | None) -> Data | None:
    """The engine whose rules hold; None where the plan names none."""
    if engine is None:
        return None
    limits = {"limits": dict(engine.scheduler.given)} if engine.scheduler.given else {}
    return {"name": engine.name, "version": engine.version, "sources": list(engine.urls()), **limits}


def _cluster(cluster: ClusterSpec) -> Data:
    return {
        "name": cluster.name,
        "gpus": cluster.gpus,
        "gpus_per_node": cluster.gpus_per_node,
        "device": _device(cluster.device),
        "link_bytes_per_second": cluster.link_bytes_per_second,
        "network_bytes_per_second": cluster.network_bytes_per_second,
        "usd_per_gpu_hour": None
        if cluster.usd_per_gpu_second is None
        else cluster.usd_per_gpu_second * SECONDS_PER_HOUR,
        "slowed": [{"rank": rank, "share": share} for rank, share in cluster.slowed],
    }


def _device(device: DeviceSpec) -> Data:
    """`launch_seconds` is how far apart a host launches operators; 0 where steps are launched whole."""
    return {
        "name": device.name,
        "source": device.source,
        "memory_bytes": device.memory_bytes,
        "bandwidth_bytes_per_second": device.bandwidth_bytes_per_second,
        "flops": {dtype.value: peak for dtype, peak in device.flops.items()},
        "compute_efficiency": device.compute_efficiency,
        "memory_efficiency": device.memory_efficiency,
        "launch_seconds": device.launch_seconds,
    }


def _workload(workload: Workload) -> Data:
    return {
        "batch": None if workload.is_open else workload.batch,
        "prompt": workload.prompt,
        "output": workload.output,
        "routing": workload.routing,
        "zipf_exponent": workload.zipf_exponent if workload.routing == "zipf" else None,
        "seed": workload.seed if workload.routing == "zipf" else None,
        "chunk": workload.chunk,
        "concurrency": None if workload.is_open else workload.concurrency,
        "cached_share": workload.cached,
        "requests_per_second": workload.requests_per_second,
        "drafted_tokens": workload.drafted,
        "acceptance": workload.acceptance if workload.drafted else None,
        **_simulated(workload),
    }


def _simulated(workload: Workload) -> Data:
    """What only a simulation of requests reads; nothing of what is not stated."""
    trace, lengths = workload.trace, workload.lengths
    fields = {
        "open_loop": (workload.is_open, True),
        "prompt_range": (workload.prompt_range is not None, workload.prompt_range and list(workload.prompt_range)),
        "output_range": (workload.output_range is not None, workload.output_range and list(workload.output_range)),
        "trace": (trace is not None, trace and {"file": trace.name, "sha256": trace.sha256, "requests": len(trace)}),
        "lengths": (
            lengths is not None,
            lengths and {"file": lengths.name, "sha256": lengths.sha256, "requests": len(lengths)},
        ),
        "burstiness": (workload.burstiness != 1, workload.burstiness),
        "requests": (workload.requests is not None, workload.requests),
        "warmup": (workload.warmup > 0, workload.warmup),
        "arrival_seed": (workload.arrival_seed > 0, workload.arrival_seed),
    }
    return {name: value for name, (is_given, value) in fields.items() if is_given}
