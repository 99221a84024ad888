"""How the W ranks of a stage are cut for one domain.

A layout is a mixed-radix number system: its factors, outermost first, multiply to W, and local rank r has one
digit a factor, the innermost fastest. The group of a rank along some axes is the set of ranks that differ from it
in those digits only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from dagc.degrees import AxisKind, Degrees
from dagc.source import Span

Ranks = npt.NDArray[np.int64]

_RUNS_SHOWN = 4


def ranges_text(ranks: Ranks) -> tuple[str, bool]:
    """`3`, `0-31`, `0-1, 8-9`; and whether that is all of them: of many gaps the first are named."""
    ordered = np.sort(ranks)
    runs = [(int(run[0]), int(run[-1])) for run in np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)]
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs[:_RUNS_SHOWN])
    return shown, len(runs) <= _RUNS_SHOWN


@dataclass(frozen=True, slots=True)
class Factor:
    """One axis of a domain. `implied` when nobody wrote it; `span` is where it was written."""

    axis: AxisKind
    degree: int
    implied: bool = False
    span: Span | None = None


@dataclass(frozen=True)
class Layout:
    """A domain of `size` ranks; factors outermost first. An axis that is absent has degree 1.

    Degrees are kept once worked out, because every operator of a layer asks for some.
    """

    factors: tuple[Factor, ...]

    @cached_property
    def size(self) -> int:
        """Ranks of the domain (W)."""
        return prod(f.degree for f in self.factors)

    def degree(self, axis: AxisKind) -> int:
        """Product of the degrees of an axis (a domain may have a written and an implied dp)."""
        degree = 1
        for factor in self.factors:
            if factor.axis is axis:
                degree *= factor.degree
        return degree

    @cached_property
    def degrees(self) -> Degrees:
        """Degrees by axis; those of a stage, in which no pp is."""
        return Degrees(
            tp=self.degree(AxisKind.TP),
            cp=self.degree(AxisKind.CP),
            ep=self.degree(AxisKind.EP),
            dp=self.degree(AxisKind.DP),
        )

    @property
    def tp(self) -> int:
        """Tensor-parallel degree."""
        return self.degrees.tp

    @property
    def cp(self) -> int:
        """Context-parallel degree."""
        return self.degrees.cp

    @property
    def dp(self) -> int:
        """Data-parallel degree inside the stage."""
        return self.degrees.dp

    @property
    def ep(self) -> int:
        """Expert-parallel degree."""
        return self.degrees.ep

    def groups(self, axes: Collection[AxisKind]) -> Ranks:
        """Local ranks by group, shape (groups, members): members of a row differ in `axes` only."""
        varying = [i for i, f in enumerate(self.factors) if f.axis in axes]
        fixed = [i for i, f in enumerate(self.factors) if f.axis not in axes]
        grid = np.arange(self.size, dtype=np.int64).reshape([f.degree for f in self.factors])
        members = prod(self.factors[i].degree for i in varying)
        return grid.transpose(fixed + varying).reshape(-1, members)

    def coordinate(self, axis: AxisKind) -> Ranks:
        """Index of each local rank along an axis, shape (size,), in [0, degree); not to be written to."""
        return _coordinate(tuple([(f.degree, f.axis is axis) for f in self.factors if f.degree > 1]))


@lru_cache(maxsize=1024)
def _coordinate(degrees: tuple[tuple[int, bool], ...]) -> Ranks:
    """The same from the degree of each factor, and whether it is of the axis."""
    stride = prod(degree for degree, _ in degrees)
    ranks: Ranks = np.arange(stride, dtype=np.int64)
    index = np.zeros_like(ranks)
    for degree, is_along in degrees:
        stride //= degree
        if is_along:
            index = index * degree + (ranks // stride) % degree
    index.setflags(write=False)
    return index
