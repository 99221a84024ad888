"""Candidates that share one bound, as rows of a table.

A block is a shape with a number of micro-batches under a batch; its members differ in options that the bound does not
see. The table is sorted so that what may be best comes first: by turns the candidates with the lowest bound on cost of
a token, on TTFT and on TPOT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dagc.plan.deployment import Options, Phase
from dagc.search.bounds import Bound
from dagc.search.candidate import Candidate, ServicePlan, Shape
from dagc.search.front import Vectors
from dagc.search.space import Space
from dagc.search.verdict import OBJECTIVES, as_vector


@dataclass(frozen=True, slots=True)
class Block:
    """A shape under one number of micro-batches and one batch."""

    shape: Shape
    micro: int | None
    batch: int

    def loosest(self, space: Space) -> Candidate:
        """A member whose bound holds for all: of their options only dcp lowers it."""
        shards = [options.decode_context for options in space.stage_choices(self.shape, Phase.BOTH)]
        options = Options(self.micro, self.shape.layers, decode_context=max(shards))
        return Candidate((ServicePlan(self.shape, options),), self.batch)


def members(block: Block, space: Space) -> Iterator[Candidate]:
    """The candidates of a block, the plain one first."""
    for options in space.stage_choices(block.shape, Phase.BOTH):
        service = ServicePlan(block.shape, replace(options, micro=block.micro, layers=block.shape.layers))
        yield Candidate((service,), block.batch)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Blocks in the order in which they are tried, with their bounds, shape (blocks, objectives), and their sizes."""

    blocks: Sequence[Block]
    bounds: Vectors
    sizes: npt.NDArray[np.int64]


def table(blocks: Sequence[Block], bounds: Sequence[Bound], sizes: Sequence[int], usd_per_gpu_second: float | None) -> Table:
    """The table of blocks; without a price no candidate has a cost of tokens."""
    rows = np.array([_vector(b, bound, usd_per_gpu_second) for b, bound in zip(blocks, bounds, strict=True)])
    rows = rows.reshape(len(blocks), len(OBJECTIVES))
    order = _order(rows)
    return Table([blocks[i] for i in order], rows[order], np.array(sizes, dtype=np.int64)[order])


def _vector(block: Block, bound: Bound, price: float | None) -> tuple[float, ...]:
    gpus = block.shape.gpus
    cost = 0.0 if price is None else price * gpus / bound.throughput * 1e6
    return as_vector({
        "gpus": gpus, "ttft": bound.ttft, "tpot": bound.tpot, "throughput": bound.throughput,
        "cost_per_million_output_tokens": cost,
    })  # fmt: skip


def _order(rows: Vectors) -> npt.NDArray[np.int64]:
    """Rows by the best of their places in three orders; equal ones as they came."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    gpus, ttft, tpot, throughput, _ = rows.T
    places = [np.argsort(np.argsort(by, kind="stable"), kind="stable") for by in (gpus / -throughput, ttft, tpot)]
    return np.argsort(np.minimum.reduce(places), kind="stable")
