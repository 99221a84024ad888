"""Amounts of work by rank."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

Load = npt.NDArray[np.float64]
"""Work by rank, shape (1,) where every rank of the team has the same, else (width,).

Where the layers of a segment differ from each other (skewed routing), (copies, 1) or (copies, width): row c is that of
copy c of the segment. A template with such a load has one segment only, of as many copies.
"""

NOTHING: Load = np.zeros(1)
"""No work, on every rank."""

WIDE = 64
"""Numbers of a load above which it takes longer to compare it, or to bring others to as many, than to price it."""


def compress_uniform(work: Load | npt.NDArray[np.int64]) -> Load:
    """Work by rank as a load, of shape (1,) where every rank has as much; by copy only where copies differ."""
    load = work.astype(np.float64, copy=False)
    if load.size == 1:
        return load.reshape(1)
    if load.ndim == 2:
        if bool((load == load[0]).all()):
            return compress_uniform(load[0])
        return load[:, :1] if bool((load == load[:, :1]).all()) else load
    return load[:1] if load[0] == load[-1] and bool((load == load[0]).all()) else load


def max_rank(load: Load) -> int:
    """Work of the fullest rank in whole elements, which is what a tensor's dimension says."""
    return ceil((load.item() if load.size == 1 else float(np.maximum.reduce(load, axis=None))) - 1e-9)


def load_content(load: Load) -> tuple[object, ...] | None:
    """The numbers of a load as a part of a key; None where there are more than `WIDE`."""
    return (load.shape, load.tobytes()) if load.size <= WIDE else None
