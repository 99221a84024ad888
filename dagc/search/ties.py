"""Which plans are a tie: predictions of two plans do not tell closer ones apart."""

from __future__ import annotations

PAIRED_ERROR = 0.048
"""Error of the ratio of two predictions: the median over 31 pairs of the serving cases of `dagc validate` that have one
model, device, engine and strategy, and differ in load."""


def is_tie(score: float, best: float) -> bool:
    """Whether a score is no further from the best than the ratio of two predictions may be wrong."""
    return score <= best * (1 + PAIRED_ERROR)
