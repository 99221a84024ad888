"""What the layers of a cut compute at least, put together from `parts`: a first bound, of which a cut costs little.

The nodes of a micro-batch (of each half, under overlap) wait for each other on a rank, so a rank computes what its
attention's part and its experts' part take, one after the other, and

    path  >= least of attention + least of experts
    busy  >= max(most of attention + least of experts, least of attention + most of experts)

with both halves in the latter, the smaller one in the former. Sequences lie unevenly where dp does not divide them. No
computation takes longer for fewer tokens, so the least is that of a rank, or of an expert group, that has the fewer
everywhere, and the most that of a rank that has the more, or of a group with as many tokens as the mean. Sums of
results count with the fewest terms that they may have, and not at all where experts are apart; there shared experts are
no part of the path, because they may run beside the others, and the experts' pool has all tokens of the stage.

Nothing here is more than the least times of `dagc.schedule.lower_bound` in rows `COMPUTING`, `BUSY` and `BESIDE`;
`PATH` is taken as `COMPUTING`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from dagc.catalog.model import FfnKind
from dagc.driver.parts import LEAST, MOST, SUMS, TRUNK, AttentionPart, ExpertsPart, Work
from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.schedule.lower_bound import BESIDE, BUSY, COMPUTING, PATH
from dagc.search.bounds import PHASES, Asked, Cut
from dagc.search.candidate import Form
from dagc.search.executors import Awaited

Half = tuple[int, int, int]
"""Sequences of a rank that has fewer, of one that has more, and of all ranks that hold different ones."""

Part = TypeVar("Part")
Amount = TypeVar("Amount", int, float)

TimesOf = Callable[[Sequence[Work]], Awaited[Sequence[Picoseconds]]]
"""Takes parts with amounts to the times of each, as `Parts.times` has them."""


_New = Sequence[tuple[Part, Sequence[Amount]]]


class Computing:
    """First least times of cuts under the facts of one plan, whose model has shapes. Times of parts are kept."""

    def __init__(self, facts: Facts, times_of: TimesOf) -> None:
        """`times_of` is asked for the times of each part once."""
        shapes = facts.model.shapes()
        if shapes is None:
            raise ValueError("least times need a model with shapes")
        self._facts, self._layers, self._times_of = facts, shapes.layers, times_of
        self._has_experts = any(kind.ffn is FfnKind.MOE for kind in shapes.layer_kinds())
        self._attention: _Rows[AttentionPart, int] = _Rows(shapes.layers)
        self._experts: _Rows[ExpertsPart, float] = _Rows(shapes.layers)

    def begin(self, asked: Sequence[Asked]) -> Awaited[Picoseconds]:
        """Least times of cuts, shape (asked, phases, 4, layers + 1), as `dagc.schedule.lower_bound.least` has them.

        What was begun earlier has to be waited for earlier.
        """
        rows: Picoseconds = np.array([[self._rows(cut, size, phase) for phase in PHASES] for cut, size in asked])
        new = self._attention.new(), self._experts.new()
        times = self._times_of([*new[0], *new[1]])
        return lambda: self._least(asked, rows, *self._known(new, times()))

    def _least(
        self, asked: Sequence[Asked], rows: Picoseconds, attention: Picoseconds, experts: Picoseconds
    ) -> Picoseconds:
        """The same, once the times of all parts are known: `attention` and `experts` of shape (rows, times, layers)."""
        fewer, more, least, most = (rows[:, :, at] for at in range(4))
        is_apart = np.array([cut.shape.form is not Form.SHARED for cut, _ in asked])
        of_attention, sums = attention[fewer, LEAST], experts[least, SUMS]
        of_experts = experts[least, LEAST] + sums
        busy, beside = attention[more, MOST].sum(axis=2), self._fullest(experts[most])
        times = np.zeros((len(asked), len(PHASES), 4, self._layers + 1), dtype=np.int64)
        each = times[..., 1:]
        each[:, :, COMPUTING] = of_attention[:, :, 1] + of_experts[:, :, 1]
        each[is_apart, :, COMPUTING] = attention[fewer[is_apart, :, 1], TRUNK] + of_experts[is_apart, :, 1]
        each[:, :, PATH] = each[:, :, COMPUTING]
        each[:, :, BUSY] = np.maximum(busy + of_experts.sum(axis=2), (of_attention + sums).sum(axis=2) + beside)
        each[is_apart, :, BUSY], each[is_apart, :, BESIDE] = busy[is_apart], beside[is_apart]
        return np.cumsum(times, axis=3)

    def _known(
        self, new: tuple[_New[AttentionPart, int], _New[ExpertsPart, float]], found: Sequence[Picoseconds]
    ) -> tuple[Picoseconds, Picoseconds]:
        """Times of all parts of attention and of experts, now that those of new ones are found."""
        attention, experts = new
        count = len(attention)
        return self._attention.put(attention, found[:count]), self._experts.put(experts, found[count:])

    def _fullest(self, experts: Picoseconds) -> Picoseconds:
        """The experts' part of both halves on the rank with most, of rows of shape (..., halves, times, layers).

        Where routing is skewed, the fullest rank of one half need not be that of the other.
        """
        if not self._facts.workload.is_skewed:
            return experts[..., MOST, :].sum(axis=2)
        first, last = (experts[:, :, half] for half in range(2))
        return np.maximum(first[:, :, MOST] + last[:, :, LEAST], first[:, :, LEAST] + last[:, :, MOST])

    def _rows(self, cut: Cut, size: int, phase: Phase) -> tuple[tuple[int, int], ...]:
        """Rows of the larger and the smaller half: attention of fewer and of more, experts of least and of most."""
        attention, experts = self._parts(cut, phase)
        found: list[tuple[int, int, int, int]] = []
        for fewer, more, whole in _halves(size, cut):
            least, most = self._tokens(cut, phase, fewer, whole)
            lower, upper = (self._experts.row(experts, one) if experts and one else 0 for one in (least, most))
            found.append((self._attention.row(attention, fewer), self._attention.row(attention, more), lower, upper))
        return tuple(zip(*([(0, 0, 0, 0)] * (2 - len(found)) + found), strict=True))

    def _parts(self, cut: Cut, phase: Phase) -> tuple[AttentionPart, ExpertsPart | None]:
        shape, options = cut.shape, cut.options
        is_apart = shape.form is not Form.SHARED
        exchanges = self._has_experts and options.overlap > 1 and shape.experts.ep > 1 and not is_apart
        in_exchange = exchanges and phase is Phase.PREFILL
        attention = AttentionPart(
            phase, shape.attention.tp, shape.attention.cp, options.sequence_parallel, options.decode_context,
            options.shared_replicated, in_exchange,
        )  # fmt: skip
        if not self._has_experts:
            return attention, None
        return attention, ExpertsPart(phase, shape.experts, options.redundant, options.overlap, in_exchange, is_apart)

    def _tokens(self, cut: Cut, phase: Phase, fewer: int, whole: int) -> tuple[float, float]:
        """Tokens of an expert group of ranks that have the fewer sequences, and of the mean group."""
        shape, workload = cut.shape, self._facts.workload
        each = workload.fresh if phase is Phase.PREFILL else 1 + workload.drafted
        if shape.form is not Form.SHARED:
            return float(whole * each), float(whole * each)
        attention, group = shape.attention, shape.experts.size
        if phase is Phase.PREFILL:
            least = fewer * (each // attention.cp) * group / attention.tp
        else:
            least = fewer * each * group / (attention.tp * attention.cp)
        return least, whole * each * group / attention.size


class _Rows(Generic[Part, Amount]):
    """Times of parts, a row for each part and amount; the first row is of nothing."""

    def __init__(self, layers: int) -> None:
        self._index: dict[tuple[Part, Amount], int] = {}
        self._new: dict[Part, list[Amount]] = {}
        self._times: Picoseconds = np.zeros((1, 3, layers), dtype=np.int64)

    def row(self, part: Part, amount: Amount) -> int:
        """The row of a part."""
        key = part, amount
        if key not in self._index:
            self._index[key] = len(self._index) + 1
            self._new.setdefault(part, []).append(amount)
        return self._index[key]

    def new(self) -> _New[Part, Amount]:
        """Parts with amounts whose rows have no times yet, and that were not told of before."""
        new, self._new = list(self._new.items()), {}
        return new

    def put(self, new: _New[Part, Amount], times: Sequence[Picoseconds]) -> Picoseconds:
        """Give these parts their times; all rows, shape (rows, times, layers)."""
        if new:
            added = np.zeros((len(self._index) + 1, *self._times.shape[1:]), dtype=np.int64)
            added[: len(self._times)] = self._times
            for (part, amounts), found in zip(new, times, strict=True):
                added[[self._index[part, amount] for amount in amounts]] = found
            self._times = added
        return self._times


def _halves(size: int, cut: Cut) -> list[Half]:
    """The micro-batch, or its halves, the larger first, as `dagc.lower.batch.halves` parts it."""
    dp = cut.shape.attention.dp
    fewer, rest = divmod(size, dp)
    more = fewer + (rest > 0)
    if cut.options.overlap == 1 or more < 2:
        return [(fewer, more, size)]
    first, last = (fewer + 1) // 2, (more + 1) // 2
    whole = rest * last + (dp - rest) * first
    return [(first, last, whole), (fewer - first, more - last, size - whole)]
