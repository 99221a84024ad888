"""The ranks of a pool that hold the same, together: the rows of tables and the bars of pictures of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from dagc.cost.holding import Bytes
    from dagc.cost.memory import PoolMemory
    from dagc.plan.layout import Ranks

Figures = tuple[tuple[str, float], ...]

_RUNS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class RankFigures:
    """What each rank of one class holds, in bytes by part.

    `ranks` names those of the first replica, `first` is the first of them, `gpus` counts those of all replicas.
    `parts` sum to `total_bytes`; `weights` are by part of the model, `activations` by phase. `cache_tokens` are the
    tokens of sequences whose cache fits on the rank; infinite where it keeps none.
    """

    ranks: str
    first: int
    gpus: int
    parts: Figures
    weights: Figures
    activations: Figures
    cache_tokens: float

    @property
    def total_bytes(self) -> float:
        """All parts."""
        return sum(size for _, size in self.parts)


def rank_classes(memory: PoolMemory) -> tuple[RankFigures, ...]:
    """The classes of one pool, in the order of their first ranks."""
    columns = [*memory.parts.values(), *memory.weights.values(), *memory.activations.values(), memory.cache_tokens]
    width = max(column.shape[1] for column in columns)
    label = np.zeros((len(memory.ranks), width), dtype=np.int64)
    for column in columns:
        _, which = np.unique(column, return_inverse=True)
        _, label = np.unique(label * column.size + which.reshape(column.shape), return_inverse=True)
        label = label.reshape(len(memory.ranks), width)
    ranks = np.stack(memory.ranks).reshape(len(memory.ranks), width, -1)
    found = [_figures(memory, columns, label == number, ranks) for number in range(int(label.max()) + 1)]
    return tuple(sorted(found, key=lambda one: one.first))


def _figures(memory: PoolMemory, columns: list[Bytes], members: npt.NDArray[np.bool_], ranks: Ranks) -> RankFigures:
    """One class: `members` are its stages and columns, `ranks` the global ranks of each."""
    stage, local = (int(index[0]) for index in np.nonzero(members))
    sizes = iter([float(column[stage, min(local, column.shape[1] - 1)]) for column in columns])
    parts = tuple((part.value, next(sizes)) for part in memory.parts)
    weights = tuple((part.value, next(sizes)) for part in memory.weights)
    activations = tuple((phase.value, next(sizes)) for phase in memory.activations)
    ordered = np.sort(ranks[members].reshape(-1))
    return RankFigures(
        ranks=rank_ranges(ordered),
        first=int(ordered[0]),
        gpus=ordered.size * memory.replicas,
        parts=parts,
        weights=weights,
        activations=activations,
        cache_tokens=next(sizes),
    )


def rank_ranges(ordered: Ranks) -> str:
    """`3`, `0-31`, `0-1, 8-9`; a long list of gaps ends in `…`."""
    breaks = np.flatnonzero(np.diff(ordered) != 1) + 1
    runs = [(int(part[0]), int(part[-1])) for part in np.split(ordered, breaks)]
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:_RUNS_SHOWN])
    return f"{shown}, …" if len(runs) > _RUNS_SHOWN else shown
