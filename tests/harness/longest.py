"""Earliest starts of an expansion, by the definition: a row starts when the last row that it waits for has ended.

One step of numpy for each part, whose rows do not wait for each other. The grouped schedule is compared with it; it
knows no lanes, groups or messages, only edges.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dagc.export.expanded import Expanded


def longest_path(expanded: Expanded) -> npt.NDArray[np.int64]:
    """Start of every row in picoseconds, shape (rows,)."""
    starts = np.zeros(expanded.rows, dtype=np.int64)
    ends = expanded.duration.copy()
    bounds = [*expanded.parts.tolist(), expanded.rows]
    for begin, end in pairwise(bounds):
        edge, stop = expanded.first_edge[begin], expanded.first_edge[end]
        if edge < stop:
            ready = ends[expanded.sources[edge:stop]].reshape(end - begin, -1).max(axis=1)
            starts[begin:end] = np.maximum(ready, 0)
            ends[begin:end] += starts[begin:end]
    return starts
