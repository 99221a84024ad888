"""A `cluster` block becomes a `ClusterSpec`.

Forms: a device's name with or without the number of GPUs (`h100-sxm x 64`), either with fields replaced
(`h100-sxm x 64 { network 25 GB/s }`), or a cluster written out (`lab { gpus 256 node 8 device { … } link … }`).
`device` is a preset's name, a block, or both; a cluster written out takes from a named device what it leaves out.
`link` and `network` are one direction of one GPU, inside and across nodes. What nothing states stays unknown
(bandwidths) or takes the documented defaults below (size of a node, latencies, achieved shares). `slow 5 by 10 %` may
occur once for each GPU: a computation takes 1.1 times as long on global rank 5. `collectives` is `custom`, as serving
engines do it, unless it says `nccl`. `price 2.5 USD/h` is that of one GPU.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dagc.catalog.device import Backend, ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.presets import candidates, device_names, find_device, load_device, unknown_name
from dagc.diag.diagnostic import Diagnostic
from dagc.facts.cluster_parts import SLOW, declare_calibration, declare_slowed
from dagc.facts.fields import BAD_VALUE, MISSING_FIELD, BlockFields, Field, FieldKind, read_fields
from dagc.source import Span
from dagc.syntax.tree import Block, Quantity, Value, Word
from dagc.units import Dimension, likeliest

DEFAULT = "h100-sxm"
"""The device of a plan that states no cluster; it then has as many GPUs as a strategy takes."""

MOST_GPUS = 10**9

_COMPUTE_EFFICIENCY = 0.8
_MEMORY_EFFICIENCY = 0.85
"""Shares of the peaks of a device that is written out: about those measured for the presets."""

_UNSTATED = {
    "gpus_per_node": 8,
    "link_bytes_per_second": None,
    "network_bytes_per_second": None,
    "link_latency_seconds": 2e-6,
    "network_latency_seconds": 5e-6,
    "link_efficiency": 0.75,
    "network_efficiency": 0.9,
}
"""A cluster without a preset device: nodes of eight as on the common boards, latencies and shares as assumed for the
presets, no bandwidth."""

COMPUTE = tuple(
    Field(dtype, FieldKind.QUANTITY, Dimension.FLOP_RATE, misnomers=("float16",) if dtype is Dtype.FP16 else ())
    for dtype in Dtype
)

DEVICE = (
    Field("memory", FieldKind.QUANTITY, Dimension.BYTES, misnomers=("hbm", "vram")),
    Field("bandwidth", FieldKind.QUANTITY, Dimension.BYTE_RATE, misnomers=("memory_bandwidth", "hbm_bandwidth")),
    Field(
        "compute", FieldKind.QUANTITY, Dimension.FLOP_RATE, table=COMPUTE, optional=True, misnomers=("flops", "tflops")
    ),
    Field("efficiency", FieldKind.QUANTITY, Dimension.SHARE, misnomers=("compute_efficiency", "mfu")),
    Field("memory_efficiency", FieldKind.QUANTITY, Dimension.SHARE, misnomers=("bandwidth_efficiency",)),
    Field("calibration", FieldKind.NAME),
    Field("launch", FieldKind.QUANTITY, Dimension.SECONDS, misnomers=("launch_latency", "eager")),
)

FIELDS = (
    Field("gpus", maximum=MOST_GPUS, misnomers=("gpu", "devices", "size")),
    Field("node", maximum=10**6, misnomers=("gpus_per_node", "node_size", "domain")),
    Field("device", FieldKind.NAME, table=DEVICE, optional=True),
    Field("link", FieldKind.QUANTITY, Dimension.BYTE_RATE, misnomers=("nvlink", "intra")),
    Field("network", FieldKind.QUANTITY, Dimension.BYTE_RATE, misnomers=("nic", "inter", "infiniband")),
    Field("link_latency", FieldKind.QUANTITY, Dimension.SECONDS),
    Field("network_latency", FieldKind.QUANTITY, Dimension.SECONDS),
    Field("link_efficiency", FieldKind.QUANTITY, Dimension.SHARE),
    Field("network_efficiency", FieldKind.QUANTITY, Dimension.SHARE),
    Field("reserve", FieldKind.QUANTITY, Dimension.BYTES, may_be_zero=True, misnomers=("overhead", "workspace")),
    Field("collectives", FieldKind.CHOICE, words=tuple(Backend), misnomers=("backend", "nccl", "all_reduce")),
    Field("price", FieldKind.QUANTITY, Dimension.MONEY_RATE, misnomers=("cost", "rent")),
    SLOW,
)

_OF_CLUSTER = {
    "link": "link_bytes_per_second",
    "network": "network_bytes_per_second",
    "link_latency": "link_latency_seconds",
    "network_latency": "network_latency_seconds",
    "link_efficiency": "link_efficiency",
    "network_efficiency": "network_efficiency",
    "reserve": "reserve_bytes",
    "price": "usd_per_gpu_second",
}
_OF_DEVICE = {
    "memory": "memory_bytes",
    "bandwidth": "bandwidth_bytes_per_second",
    "efficiency": "compute_efficiency",
    "memory_efficiency": "memory_efficiency",
    "launch": "launch_seconds",
}
_FORMS = "write `cluster h100-sxm x 64` or `cluster NAME { gpus … device … }`"


def declare_cluster(
    block: Block | None, base_directory: Path = Path()
) -> tuple[ClusterSpec | None, tuple[Diagnostic, ...]]:
    """The cluster of a block, or the default without one; None with the diagnostics when something in it is wrong.

    `base_directory` is where the path of a calibration starts: the plan's directory.
    """
    if block is None:
        return load_device(DEFAULT), ()
    entries = block.body or ()
    record, problems = read_fields((e for e in entries if e.name != SLOW.name), FIELDS, "cluster")
    slowed, wrong = declare_slowed(tuple(e for e in entries if e.name == SLOW.name))
    problems = (*problems, *wrong)
    name, gpus, bad_head = _head(block)
    base, bad_base = (None, ()) if bad_head and name is None else _base(block, name, record)
    problems = (*bad_head, *problems, *bad_base)
    if gpus is not None and "gpus" in record:
        problems = (*problems, _twice(gpus, record))
    if problems or base is None:
        return None, problems
    calibration = declare_calibration(base.device.calibration, record.table("device"), base_directory)
    if isinstance(calibration, Diagnostic):
        return None, (calibration,)
    merged = _merged(base, _name(name, record), gpus, record, block.span)
    merged = replace(merged, device=replace(merged.device, calibration=calibration))
    return replace(merged, slowed=slowed.shares, spans={**merged.spans, **slowed.spans}), ()


def _name(name: Word | None, record: BlockFields) -> str:
    """What a cluster is called: as its preset, where it is one, else as written."""
    if name is None:
        return "cluster"
    return name.text if record.word("device") else find_device(name.text) or name.text


def unknown_cluster() -> ClusterSpec:
    """A cluster of which nothing is known: no limit to its GPUs, to their memory, and no rates."""
    device = DeviceSpec("device", float("inf"), None, {}, _COMPUTE_EFFICIENCY, _MEMORY_EFFICIENCY)
    unstated: dict[str, Any] = _UNSTATED
    return ClusterSpec("cluster", device, None, **unstated)


def _head(block: Block) -> tuple[Word | None, Quantity | None, tuple[Diagnostic, ...]]:
    """The name, and the number after `x`."""
    match block.head:
        case ():
            return None, None, ()
        case (Word() as name,):
            return name, None, ()
        case (Word() as name, Word(text="x" | "X" | "×"), Quantity(unit=None) as gpus):
            return name, gpus, _whole(gpus)
        case _:
            return _first_word(block.head), None, (_bad_head(block.head),)


def _first_word(head: tuple[Value, ...]) -> Word | None:
    return head[0] if isinstance(head[0], Word) else None


def _bad_head(head: tuple[Value, ...]) -> Diagnostic:
    place = head[0].span if not isinstance(head[0], Word) else head[1].span.to(head[-1].span)
    message = "`cluster` is followed by a name, `x` and the number of GPUs"
    return BAD_VALUE.at(place, message, "not this", help=(_FORMS,))


def _whole(gpus: Quantity) -> tuple[Diagnostic, ...]:
    if gpus.value == int(gpus.value) and 1 <= gpus.value <= MOST_GPUS:
        return ()
    message = f"a cluster has a whole number of GPUs from 1 to {MOST_GPUS:,}, not {gpus.span.text}"
    return (BAD_VALUE.at(gpus.span, message, "not a number of GPUs", help=(_FORMS,)),)


def _twice(gpus: Quantity, record: BlockFields) -> Diagnostic:
    return BAD_VALUE.at(
        record.fields["gpus"].span,
        f"the number of GPUs is stated twice: after `x` as {gpus.span.text}, and in the block",
        "stated again",
        help=("keep one of them",),
    )


def _base(block: Block, name: Word | None, record: BlockFields) -> tuple[ClusterSpec | None, tuple[Diagnostic, ...]]:
    """The preset that the head or the `device` field names, or a cluster of a device written out."""
    preset = load_device(name.text) if name else None
    if preset is None and name and block.body is None:
        return None, (_misspelt(name),)
    if (device := record.word("device")) is not None:
        named = load_device(device)
        return (named, ()) if named else (None, (_unknown_device(block, device),))
    if preset is not None:
        return preset, ()
    return _own(record, block, name)


_OWN = "describe another one: `cluster NAME { gpus … node … device { memory … } link … network … }`"


def _unknown_device(block: Block, device: str) -> Diagnostic:
    values = (v for entry in block.body or () if entry.name == "device" for v in entry.values)
    place = next(v.span for v in values if isinstance(v, Word) and v.text == device)
    return unknown_name(place, "device", device_names(), help=("or describe it: `device { memory … compute { … } }`",))


def _own(record: BlockFields, block: Block, name: Word | None) -> tuple[ClusterSpec | None, tuple[Diagnostic, ...]]:
    """A cluster without preset: of the device at least the memory must be stated."""
    memory = record.table("device").number("memory")
    if memory is None and _is_written(block, "device", "memory"):
        return None, ()
    if memory is None:
        is_misspelt = name is not None and "device" not in record and _is_almost(name.text)
        problem = _misspelt(name) if name and is_misspelt else _without_memory(block, record)
        return None, (problem,)
    device = DeviceSpec("device", memory, None, {}, _COMPUTE_EFFICIENCY, _MEMORY_EFFICIENCY)
    unstated: dict[str, Any] = _UNSTATED
    return ClusterSpec("cluster", device, None, **unstated), ()


def _is_almost(name: str) -> bool:
    return bool(likeliest(name, device_names()) or candidates(name, device_names()))


def _misspelt(name: Word) -> Diagnostic:
    return unknown_name(name.span, "device", device_names(), help=(_OWN,))


def _is_written(block: Block, outer: str, inner: str) -> bool:
    """Whether the field was written, well or badly: what is badly written was reported already."""
    devices = [entry for entry in block.body or () if entry.name == outer]
    return any(nested.name == inner for entry in devices for nested in entry.body or ())


def _without_memory(block: Block, record: BlockFields) -> Diagnostic:
    given = record.fields.get("device")
    return MISSING_FIELD.at(
        given.span if given else block.span,
        "a cluster needs a device of known memory",
        "no `memory` here" if given else "no `device` here",
        help=("write `device { memory 80 GB … }`, or name one: `device h100-sxm`",),
    )


def _merged(base: ClusterSpec, name: str, gpus: Quantity | None, record: BlockFields, place: Span) -> ClusterSpec:
    """The base with every written field in its place."""
    changes: dict[str, Any] = {
        field: number for key, field in _OF_CLUSTER.items() if (number := record.number(key)) is not None
    }
    backend = record.word("collectives")
    if backend is not None:
        changes["collectives"] = Backend(backend)
    count = int(gpus.value) if gpus else record.count("gpus")
    spans = {"cluster": place, **({"gpus": gpus.span} if gpus else {}), **record.spans()}
    return replace(
        base,
        name=name,
        device=_device(base.device, record.table("device")),
        gpus=count,
        gpus_per_node=record.count("node") or base.gpus_per_node,
        spans=spans,
        **changes,
    )


def _device(base: DeviceSpec, record: BlockFields) -> DeviceSpec:
    if not record.fields:
        return base
    changes: dict[str, Any] = {
        field: number for key, field in _OF_DEVICE.items() if (number := record.number(key)) is not None
    }
    return replace(base, flops=_flops(base, record), source="given", **changes)


def _flops(base: DeviceSpec, record: BlockFields) -> dict[Dtype, float]:
    """Peaks by type. A bare `compute 400 TFLOP/s`, or bf16 alone, holds for both 16-bit types."""
    table = record.table("compute")
    given = {dtype: number for dtype in Dtype if (number := table.number(dtype)) is not None}
    bare = record.number("compute")
    half = bare if bare is not None else given.get(Dtype.BF16, given.get(Dtype.FP16))
    halves = {} if half is None else {Dtype.BF16: half, Dtype.FP16: half}
    return {**base.flops, **halves, **given}
