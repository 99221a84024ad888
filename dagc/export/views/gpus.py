"""The GPUs of a card, node by node: one row a node where there are few, one row for all nodes that are alike.

Turns global ranks into rows. GPUs are drawn one by one in deployments of at most `MOST_GPUS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dagc.export.titles import rank_text
from dagc.export.views.view import Gpus
from dagc.plan.deployment import Pool, Role
from dagc.plan.layout import Ranks
from dagc.units import counted

MOST_GPUS = 72
"""GPUs of a deployment that are drawn one by one."""

_ROW = 18
"""GPUs of a row: a node with more is several rows."""

_PATTERNS = 3
"""Folded rows of a card; of more, the rest is counted."""

OWN, OTHER = "■", "□"
"""GPUs as characters, where they cannot be drawn."""

Placed = tuple[str, Ranks]
"""Which stage or replica, and its global ranks; an empty name where there is only one."""


def kind_of(pool: Pool, phases: Sequence[str]) -> str:
    """What the GPUs of a pool do: a part of each layer, or a phase."""
    phase = phases[0] if len(phases) == 1 else ""
    if pool.role is Role.ALL:
        return phase or ("attention + experts" if pool.experts is not None else "attention + FFN")
    return f"{phase} {pool.role.value}".strip()


def every_gpu(placed: Iterable[Placed], kind: str, per_node: int) -> Iterator[Gpus]:
    """A row for each node of each stage or replica: `■■□□ node 0: ranks 0-1`."""
    for name, ranks in placed:
        for node in np.unique(ranks // per_node).tolist():
            own = ranks[ranks // per_node == node]
            where = f"{name}, node {node}" if name else f"node {node}"
            yield from _rows(_slots(own, per_node), kind, f"{where}: {rank_text(own)}")


def folded_gpus(ranks: Ranks, kind: str, per_node: int) -> Iterator[Gpus]:
    """A row for all nodes of which the same GPUs are taken: `■■■■■■■■ 32 × node of 8 GPUs`."""
    nodes, place = np.unique(ranks // per_node, return_inverse=True)
    taken = np.zeros((nodes.size, per_node), dtype=np.bool_)
    taken[place.ravel(), ranks % per_node] = True
    patterns, counts = np.unique(taken, axis=0, return_counts=True)
    ordered = sorted(zip(patterns.tolist(), counts.tolist(), strict=True), key=lambda one: -one[1])
    for pattern, count in ordered[:_PATTERNS]:
        used = f", {counted(sum(pattern), 'GPU')} of it used" if sum(pattern) < per_node else ""
        yield from _rows(tuple(pattern), kind, f"{count:,} × node of {counted(per_node, 'GPU')}{used}")
    rest = sum(count for _, count in ordered[_PATTERNS:])
    if rest:
        yield Gpus((), kind, f"{counted(rest, 'more node')}, used otherwise")


def gpus_text(row: Gpus) -> str:
    """A row as characters."""
    return f"{''.join(OWN if own else OTHER for own in row.own)} {row.text}".strip()


def _slots(own: Ranks, per_node: int) -> tuple[bool, ...]:
    taken = set((own % per_node).tolist())
    return tuple(slot in taken for slot in range(per_node))


def _rows(slots: tuple[bool, ...], kind: str, text: str) -> Iterator[Gpus]:
    """One row, or several of a large node; the text is beside the first."""
    for start in range(0, len(slots), _ROW):
        yield Gpus(slots[start : start + _ROW], kind, text if start == 0 else "")
