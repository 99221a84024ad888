"""Kernels of a profile: a trace of PyTorch's profiler (Kineto, Chrome's format), or a table of kernels.

A trace is JSON, compressed by gzip or not: an object with `traceEvents`, or these alone. Kernels are complete events
(`ph` X) of the categories `kernel`, `gpu_memcpy` and `gpu_memset`, times in microseconds. A CPU event of the same
`correlation` launched a kernel; annotations around that moment are those that the kernel is within. A table is CSV with
a column of names (`op`, `name` or `kernel`) and one of durations whose name has the unit (`us`, `ms`, `ns`, `seconds`).

Kineto: github.com/pytorch/kineto, libkineto/src/output_json.cpp.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson

from dagc.diag.diagnostic import Code, Diagnostic

BAD_TRACE = Code("X423", "bad-kernel-trace")

MOST_TRACE_BYTES = 1 << 30
"""Largest trace that is read, compressed or not: a few steps of an engine have some hundred megabytes."""

_CATEGORIES = frozenset({"kernel", "Kernel", "gpu_memcpy", "gpu_memset"})
_ANNOTATIONS = frozenset({"user_annotation", "gpu_user_annotation", "cpu_op"})
_HELP = "`dagc explain X423` says which files are read"
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class KernelTrace:
    """Kernels of one GPU in the order of time, in columns of shape (kernels,).

    `name` indexes `names`; `start` and `seconds` are in seconds. `is_one_layer`: a table of the kernels of one layer.
    """

    names: tuple[str, ...]
    name: npt.NDArray[np.int64]
    start: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    stream: npt.NDArray[np.int64]
    is_one_layer: bool = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self.name)


class _RefusedError(ValueError):
    """Why a file is no trace, and a way out."""

    def __init__(self, message: str, way_out: str = _HELP) -> None:
        super().__init__(message)
        self.way_out = way_out


def read_kernels(content: bytes, name: str, within: Sequence[str] = ()) -> KernelTrace | Diagnostic:
    """The kernels in the content of a file, or those within annotations that fit one of some patterns."""
    try:
        text = _unpacked(content)
        if not text.strip():
            raise _RefusedError("it is empty")
        if text.lstrip()[:1] in (b"{", b"["):
            return _kernels(_events(text), within)
        return _table(text)
    except _RefusedError as reason:
        return BAD_TRACE.at(None, f"`{name}` has no kernels to compare: {reason}", help=(reason.way_out,))


def _unpacked(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
            text = stream.read(MOST_TRACE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as reason:
        raise _RefusedError(
            f"gzip cannot unpack it ({reason})", "write the profile again, or unpack it first"
        ) from None
    if len(text) > MOST_TRACE_BYTES:
        raise _RefusedError(f"unpacked it has more than {MOST_TRACE_BYTES:,} bytes", "profile fewer steps")
    return text


def _events(text: bytes) -> list[Mapping[str, Any]]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as reason:
        raise _RefusedError(f"it is not JSON: {reason}", "write the profile again: it may have been cut off") from None
    found: Any = cast("dict[str, Any]", document).get("traceEvents") if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise _RefusedError("it is JSON without `traceEvents`")
    return [one for one in cast("list[Any]", found) if isinstance(one, dict)]


def _kernels(events: list[Mapping[str, Any]], within: Sequence[str]) -> KernelTrace:
    kernels = [one for one in events if str(one.get("cat")) in _CATEGORIES and one.get("ph") == "X" and _is_timed(one)]
    if not kernels:
        raise _RefusedError(
            f"none of its {len(events):,} events is a kernel", "profile the GPU too: `ProfilerActivity.CUDA`"
        )
    devices = Counter(str(_arguments(one).get("device", one.get("pid"))) for one in kernels)
    device = devices.most_common(1)[0][0]
    kernels = [one for one in kernels if str(_arguments(one).get("device", one.get("pid"))) == device]
    if within:
        kernels = _within(kernels, events, within)
    kernels.sort(key=lambda one: float(one["ts"]))
    names = list(dict.fromkeys(str(one.get("name", "")) for one in kernels))
    number = {name: i for i, name in enumerate(names)}
    streams = list(dict.fromkeys(str(_arguments(one).get("stream", one.get("tid"))) for one in kernels))
    return KernelTrace(
        names=tuple(names),
        name=np.array([number[str(one.get("name", ""))] for one in kernels], dtype=np.int64),
        start=np.array([float(one["ts"]) for one in kernels]) * 1e-6,
        seconds=np.array([float(one["dur"]) for one in kernels]) * 1e-6,
        stream=np.array(
            [streams.index(str(_arguments(one).get("stream", one.get("tid")))) for one in kernels], dtype=np.int64
        ),
    )


def _is_timed(event: Mapping[str, Any]) -> bool:
    times = event.get("ts"), event.get("dur")
    return all(isinstance(one, int | float) and abs(one) < 1e18 for one in times) and float(event["dur"]) >= 0


def _arguments(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found = event.get("args")
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _within(
    kernels: list[Mapping[str, Any]], events: list[Mapping[str, Any]], within: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Kernels that were launched, or that ran, in an annotation that fits."""
    timed = [one for one in events if str(one.get("cat")) in _ANNOTATIONS and one.get("ph") == "X" and _is_timed(one)]
    chosen = [one for one in timed if any(fnmatchcase(str(one.get("name")), pattern) for pattern in within)]
    if not chosen:
        known = Counter(str(one.get("name")) for one in timed if one.get("cat") != "cpu_op").most_common(6)
        listed = ", ".join(f"`{name}`" for name, _ in known) or "none"
        raise _RefusedError(f"no annotation fits {', '.join(within)}", f"annotations of the trace: {listed}")
    launched = {
        str(_arguments(one)["correlation"]): float(one["ts"])
        for one in events
        if str(one.get("cat", "")).startswith("cuda_") and "correlation" in _arguments(one) and _is_timed(one)
    }
    spans = np.array(sorted((float(one["ts"]), float(one["ts"]) + float(one["dur"])) for one in chosen))
    moments = np.array([
        launched.get(str(_arguments(one).get("correlation")), float(one["ts"])) for one in kernels
    ])  # fmt: skip
    ends = np.maximum.accumulate(spans[:, 1])
    before = np.searchsorted(spans[:, 0], moments, side="right") - 1
    inside = (before >= 0) & (moments <= ends[np.maximum(before, 0)])
    found = [one for one, is_inside in zip(kernels, inside.tolist(), strict=True) if is_inside]
    if not found:
        raise _RefusedError(f"no kernel was launched within {', '.join(within)}")
    return found


def _table(text: bytes) -> KernelTrace:
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise _RefusedError("it is neither JSON nor text") from None
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.DictReader(lines)
    heads = [head for head in reader.fieldnames or () if head]
    title = next((head for head in heads if head.lower() in ("op", "name", "kernel")), None)
    timed = [(head, unit) for head in heads for unit in re.split(r"[^a-z]+", head.lower()) if unit in _UNITS]
    if title is None or not timed:
        raise _RefusedError("it is neither JSON nor a table with a column `op` and one of durations such as `gpu_us`")
    (head, unit), found = timed[0], list[tuple[str, float]]()
    for row in reader:
        try:
            seconds = float(row[head] or "nan") * _UNITS[unit]
        except (TypeError, ValueError):
            seconds = -1.0
        if not 0 <= seconds < 1e6:
            raise _RefusedError(f"line {reader.line_num}: `{row.get(head)}` is no duration")
        found.append((row[title] or "", seconds))
    if not found:
        raise _RefusedError("the table has no rows")
    seconds = np.array([one for _, one in found])
    names = tuple(dict.fromkeys(name for name, _ in found))
    return KernelTrace(
        names,
        np.array([names.index(name) for name, _ in found], dtype=np.int64),
        np.cumsum(seconds) - seconds,
        seconds,
        np.zeros(len(found), np.int64),
        is_one_layer=True,
    )
