"""Layers in a trace: the kernels of the busiest stream repeat once for each layer.

The period is the shortest shift at which the names of that stream fit themselves nearly as well as at any, without
casts, copies and other kernels that come and go. A kernel that comes once in it divides the stream into layers; those
with the most frequent sequence of names count, each kernel by its median, and the others (dense layers among sparse
ones, what lies between two steps) are left out. Kernels that come and go and those of other streams belong to the layer
that runs when they start.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dagc.profile.kernel_names import AUXILIARY, COMMUNICATION, KernelKind, kind_of
from dagc.profile.trace import KernelTrace

_MOST_PERIOD = 4_000
_FIT, _NEARLY = 0.5, 0.9
"""Share of names that must fit at the period, and of the best fit that is nearly as good."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LayerKernel:
    """A kernel of a usual layer: the median of its seconds, how often it is there, and whether on the main stream.

    `label` is the operator that it is named for, empty where it has a name of its own.
    """

    name: str
    kind: KernelKind
    seconds: float
    often: float
    is_main: bool
    label: str = ""


@dataclass(frozen=True, slots=True)
class TraceLayers:
    """The usual layer of a trace, in the order of time from some kernel of it on.

    There are `layers` like it, in which is `share` of the time of kernels. A table has the kernels of one layer in its
    order: `is_rotated` is false.
    """

    kernels: tuple[LayerKernel, ...]
    layers: int
    share: float
    is_rotated: bool = True


def layers_of(trace: KernelTrace, unit: int = 1) -> TraceLayers | None:
    """The usual `unit` layers in a row; None where nothing repeats."""
    if trace.is_one_layer:
        return _whole(trace)
    lasting = np.array([kind_of(name) not in AUXILIARY for name in trace.names])[trace.name]
    if not lasting.any():
        return None
    computing = lasting & np.array([kind_of(name) not in COMMUNICATION for name in trace.names])[trace.name]
    stream = int(np.bincount(trace.stream[computing if computing.any() else lasting]).argmax())
    main = np.flatnonzero(lasting & (trace.stream == stream))
    period = _period(trace.name[main])
    if period is None:
        return None
    runs = _alike(trace.name[main], _starts(trace, main, period), unit)
    return _usual(trace, main, runs) if runs else None


def _whole(trace: KernelTrace) -> TraceLayers:
    numbers: list[int] = trace.name.tolist()
    names = [trace.names[one] for one in numbers]
    kernels = [
        LayerKernel(name, kind_of(name), seconds, 1.0, True)
        for name, seconds in zip(names, trace.seconds.tolist(), strict=True)
    ]
    kept = tuple(one for one in kernels if one.kind is not KernelKind.IGNORED)
    return TraceLayers(kept, 1, 1.0, is_rotated=False)


def _period(names: Numbers) -> int | None:
    """The shortest shift at which names fit themselves nearly as well as at the best one."""
    most = min(len(names) // 2, _MOST_PERIOD)
    if most < 1:
        return None
    fits = np.array([(names[shift:] == names[:-shift]).mean() for shift in range(1, most + 1)])
    best = float(fits.max())
    return None if best < _FIT else int(np.flatnonzero(fits >= _NEARLY * best)[0]) + 1


def _starts(trace: KernelTrace, main: Numbers, period: int) -> Numbers:
    """Places on the main stream of the kernel that divides it best: most often a period from the one before."""
    names, seconds = trace.name[main], trace.seconds[main]
    best, found = (-1.0, -1.0), np.zeros(0, np.int64)
    for name in np.unique(names).tolist():
        places = np.flatnonzero(names == name)
        often = float(np.count_nonzero(np.diff(places) == period))
        # Of equals the one that takes longest, which is the least likely to be in another place too.
        mark = often, float(seconds[places].sum())
        if mark > best:
            best, found = mark, places
    return found


def _alike(names: Numbers, starts: Numbers, unit: int) -> list[tuple[int, int]]:
    """Begin and end on the main stream of `unit` layers in a row that have the most frequent sequence of names."""
    bounds = list(pairwise(starts.tolist()))
    texts = [names[begin:end].tobytes() for begin, end in bounds]
    if not texts:
        return []
    usual, _ = Counter(texts).most_common(1)[0]
    found: list[tuple[int, int]] = []
    row: list[tuple[int, int]] = []
    for bound, text in zip(bounds, texts, strict=True):
        row = [*row, bound] if text == usual else []
        if len(row) == unit:
            found.append((row[0][0], row[-1][1]))
            row = []
    return found


def _usual(trace: KernelTrace, main: Numbers, runs: list[tuple[int, int]]) -> TraceLayers:
    width = runs[0][1] - runs[0][0]
    rows: Numbers = np.array([main[begin:end] for begin, end in runs])
    placed: list[tuple[float, float, LayerKernel]] = []
    for place in range(width):
        name = trace.names[trace.name[rows[0, place]]]
        seconds = float(np.median(trace.seconds[rows[:, place]]))
        placed.append((place, 0.0, LayerKernel(name, kind_of(name), seconds, 1.0, True)))
    placed += _others(trace, main, rows, [int(main[end]) for _, end in runs])
    kernels = tuple(one for _, _, one in sorted(placed, key=lambda one: one[:2]))
    inside = sum(float(trace.seconds[row[0] : main[end]].sum()) for row, (_, end) in zip(rows, runs, strict=True))
    return TraceLayers(kernels, len(runs), inside / max(float(trace.seconds.sum()), 1e-12))


def _others(
    trace: KernelTrace, main: Numbers, rows: Numbers, ends: list[int]
) -> list[tuple[float, float, LayerKernel]]:
    """The other kernels of layers by name and by which of that name they are, behind which kernel of the main stream,
    and how long after its start.
    """
    is_other = np.ones(len(trace), dtype=bool)
    is_other[main] = False
    seen: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
    for row, end in zip(rows, ends, strict=True):
        first, counts = int(row[0]), Counter[str]()
        for number in range(first, end):
            if not is_other[number]:
                continue
            place = int(np.count_nonzero(row < number)) - 1
            name = trace.names[int(trace.name[number])]
            after = float(trace.start[number] - trace.start[row[place]])
            seen[name, counts[name]].append((float(place), after, float(trace.seconds[number])))
            counts[name] += 1
    found: list[tuple[float, float, LayerKernel]] = []
    for (name, _), times in seen.items():
        place, after, seconds = (float(one) for one in np.median(np.array(times), axis=0))
        kernel = LayerKernel(name, kind_of(name), seconds, len(times) / len(rows), False)
        found.append((float(round(place)), after, kernel))
    return found
