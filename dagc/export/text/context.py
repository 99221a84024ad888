"""What a picture says of where its figures hold, because it is shown alone: model, cluster, engine, workload, and the
requirements with a tick, a cross, or `?` where nothing decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dagc.diag.text import escape
from dagc.results.summary import FactsRecord, RequirementRecord
from dagc.units import counted, format_share

if TYPE_CHECKING:
    from dagc.results.memory import MemoryOfPools

_LONGEST = 40
"""Characters of a name that are shown."""

MARKS = {True: "✓", False: "✗", None: "?"}


def context(facts: FactsRecord, requirements: list[RequirementRecord], has_model: bool = True) -> tuple[str, ...]:
    """One line of the facts, with the model where asked, and one of the requirements where there are any."""
    model = [f"model {_name(facts.model['name'])}"] if has_model else []
    line = " · ".join((*model, _cluster(facts.cluster), *_engine(facts.engine), workload(facts.workload)))
    rows = [f"{MARKS[row.ok]} {row.name} {row.required}" for row in requirements]
    return (line, f"requirements: {' · '.join(rows)}") if rows else (line,)


def chunked(facts: FactsRecord, memory: MemoryOfPools | None) -> tuple[str, ...]:
    """A line on chunked prefill, where memory is that of one chunk."""
    if memory is None or not memory.is_chunked:
        return ()
    return (f"prefill in chunks of {facts.workload['chunk']:,} tokens per GPU; activations are those of one chunk",)


def _cluster(cluster: dict[str, Any]) -> str:
    """`h100-sxm x 64`; of a cluster that is described in the plan its name and size."""
    name = _name(cluster["name"])
    return name if cluster["gpus"] is None else f"{name} x {cluster['gpus']}"


def _name(text: str) -> str:
    """A name of the plan, which may be long and hold anything."""
    return escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _engine(engine: dict[str, Any] | None) -> Iterator[str]:
    if engine is not None:
        yield f"{engine['name']} {engine['version']}"


def workload(data: dict[str, Any]) -> str:
    """`batch 64, 1,024 tokens in, 256 out`, and what else the workload states."""
    name = "batch" if data["concurrency"] is None else "concurrency"
    load = "open loop" if "open_loop" in data else f"{name} {data[name]:,}"
    parts = [load, f"{data['prompt']:,} tokens in", f"{data['output']:,} out"]
    if data["requests_per_second"] is not None:
        parts.append(f"{data['requests_per_second']:g} requests/s")
    if data["cached_share"]:
        parts.append(f"{format_share(data['cached_share'])} cached")
    if data["drafted_tokens"]:
        parts.append(counted(data["drafted_tokens"], "draft token"))
    if data["zipf_exponent"] is not None:
        parts.append(f"routing zipf {data['zipf_exponent']:g}")
    return ", ".join(parts)
