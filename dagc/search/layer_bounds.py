"""Lower bounds of what the layers of a stage take, from parts of a layer that many stage configurations share.

The operators of a micro-batch wait for each other on a rank, so a rank takes what its attention's part and its experts'
part take, collectives among them, one after the other (`dagc.search.layer_parts`). Sequences lie unevenly where dp does
not divide them: the first ranks have one more, and the first expert group no fewer tokens than any. On its ranks

    layer >= max(most of attention + least of experts, least of attention + most of experts) + collectives

for no operator takes longer for fewer tokens. The compute lane takes micro-batches one after the other, so this holds
of many too, but for the collectives of a stage's last layer, beside which the next micro-batch may begin. Overlap parts
a micro-batch in two halves, beside whose collectives the other half computes:

    path  >= least of attention but for shared experts + least of experts + collectives, of the larger half
    busy  >= what is computed as above, with both halves; and the collectives of both

Sums of results count with the fewest terms that they may have, and not at all where experts are apart; there the path
has no shared experts either, because they may run beside the others, the experts' pool has all tokens of the stage, and
what goes to it and back does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from dagc.catalog.model import FfnKind
from dagc.degrees import Degrees
from dagc.engines.runtime import ExpertExchange
from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.search.layer_parts import (
    COLLECTIVES,
    HIGH,
    LOW,
    SHARED,
    SUMS,
    TRUNK,
    AttentionPart,
    ExchangePart,
    ExpertsPart,
    Work,
    shapes_of,
)

PATH, BUSY, BESIDE, TRAILING = range(4)
"""Rows of layer times. `PATH` is what one micro-batch takes from entering a layer to leaving it; `BUSY` what the
busiest rank is busy with it before it turns to the next one, but for `TRAILING` of a stage's last layer; `BESIDE` what
a pool of experts computes, 0 without one."""


class StageConfig(NamedTuple):
    """How a stage is cut, and the options of what is in it.

    `is_apart` where experts have ranks of their own, `is_scattered` where a part of attention's dp is inside cp, so
    that the ranks with more sequences need not be the first. `is_both` of a service for both phases.
    """

    attention: Degrees
    experts: Degrees
    is_apart: bool
    is_scattered: bool
    options: Options
    is_both: bool = True


class StageParts(NamedTuple):
    """The parts of a stage; no exchange where its tokens are nowhere else."""

    attention: AttentionPart
    experts: ExpertsPart
    exchange: ExchangePart | None


TimesOf = Callable[[Sequence[Work]], Sequence[Picoseconds]]
"""Takes parts with amounts to the times of each, as `Parts.times` has them."""


Key = TypeVar("Key", AttentionPart, ExpertsPart, ExchangePart)


class _Row(NamedTuple):
    """A stage with micro-batches of one size in one phase: by part and half, the larger first, the row of its times.

    Attention of a rank that has fewer sequences and of one that has more, experts, and their collectives. `is_halved`
    where there are two halves, `is_apart` where experts are, `reduces_shared` where results of shared experts are not
    reduced together with those of the others.
    """

    parts: tuple[tuple[int, ...], ...]
    is_halved: bool
    is_apart: bool
    reduces_shared: bool


class LayerBounds:
    """Lower bounds of the layers of stages under the facts of one plan, whose model has shapes.

    Stages are registered first (`row`), so that the times of all their parts can be asked for at once.
    """

    def __init__(self, facts: Facts, times_of: TimesOf) -> None:
        """`times_of` is asked for the times of each part once."""
        shapes = shapes_of(facts)
        self.layers = shapes.layers
        self._facts, self._times_of = facts, times_of
        self.has_experts = any(kind.ffn is FfnKind.MOE for kind in shapes.layer_kinds())
        self._attention = _PartTimes[AttentionPart](SHARED + 1, self.layers)
        self._experts = _PartTimes[ExpertsPart](SUMS + 1, self.layers)
        self._exchange = _PartTimes[ExchangePart](1, self.layers)
        self._index: dict[tuple[StageConfig, int, Phase], int] = {}
        self._rows: list[_Row] = []

    def row(self, config: StageConfig, sequences: int, phase: Phase) -> int:
        """The row of a stage with micro-batches of so many sequences in a phase."""
        key = config, sequences, phase
        if key not in self._index:
            self._index[key] = len(self._rows)
            halves = _halves(sequences, config.attention.dp, config.options.overlap)
            parts, reduces = self._parts_of(config, halves, phase), self._reduces_shared(config, phase)
            self._rows.append(_Row(parts, len(halves) > 1, config.is_apart, reduces))
        return self._index[key]

    def times(self, rows: Sequence[int]) -> Picoseconds:
        """Layer times of the rows, summed up to each layer, shape (rows, 4, layers + 1)."""
        attention, experts, exchange = self._part_times()
        asked = [self._rows[row] for row in rows]
        fewer, more, tokens, exchanged = np.moveaxis(np.array([one.parts for one in asked]), 1, 0)
        is_halved, is_apart = (
            np.array(flags, dtype=np.bool_)[:, None]
            for flags in ([one.is_halved for one in asked], [one.is_apart for one in asked])
        )
        reduces = np.array([one.reduces_shared for one in asked])[:, None, None]
        smallest, most, of_experts = attention[fewer], attention[more], experts[tokens]
        low, beside = of_experts[..., LOW, :] + of_experts[..., SUMS, :], self._fullest(of_experts)
        first = (most[..., HIGH, :] + low).sum(axis=1)
        fullest = (smallest[..., LOW, :] + of_experts[..., SUMS, :]).sum(axis=1) + beside
        exchanges: Picoseconds = exchange[exchanged, 0]

        def summed(part: Picoseconds) -> Picoseconds:
            """All collectives of a layer, those of this part of attention among them."""
            whole: Picoseconds = part[..., COLLECTIVES, :] + reduces * part[..., SHARED, :] + exchanges
            return whole.sum(axis=1)

        collectives, fewest = summed(most), summed(smallest)
        streams = most[..., TRUNK, :] + low + most[..., COLLECTIVES, :] + exchanges
        halved = np.maximum(np.maximum(first, fullest), collectives)
        busy = np.where(is_halved, halved, np.maximum(first + collectives, fullest + fewest))
        found: tuple[Picoseconds, ...] = (
            np.where(is_halved, streams[:, 0], streams[:, 1]),
            np.where(is_apart, most[..., HIGH, :].sum(axis=1), busy),
            np.where(is_apart, beside, 0),
            np.where(is_halved | is_apart, 0, collectives),
        )
        times = np.zeros((len(rows), len(found), self.layers + 1), dtype=np.int64)
        np.cumsum(np.stack(found, axis=1), axis=2, out=times[..., 1:])
        return times

    def _part_times(self) -> tuple[Picoseconds, Picoseconds, Picoseconds]:
        """Times of all parts, those asked for that have none; each of shape (rows of parts, times, layers)."""
        new = self._attention.new(), self._experts.new(), self._exchange.new()
        found = iter(self._times_of([*new[0], *new[1], *new[2]]) if any(new) else ())
        return self._attention.put(new[0], found), self._experts.put(new[1], found), self._exchange.put(new[2], found)

    def _fullest(self, experts: Picoseconds) -> Picoseconds:
        """The experts' part of both halves on the rank with most, of rows of shape (..., halves, times, layers).

        Where routing is skewed, the fullest rank of one half need not be that of the other.
        """
        if not self._facts.workload.is_skewed:
            return experts[..., HIGH, :].sum(axis=1)
        first, last = (experts[:, half] for half in range(2))
        return np.maximum(first[:, HIGH] + last[:, LOW], first[:, LOW] + last[:, HIGH])

    def _parts_of(
        self, config: StageConfig, halves: Sequence[tuple[int, int, int]], phase: Phase
    ) -> tuple[tuple[int, ...], ...]:
        """Rows of the parts, by part those of the larger and of the smaller half, as `_Row` has them."""
        is_prefill = phase is Phase.PREFILL
        attention, experts, exchange = self.parts_of(config, phase)
        found: list[tuple[int, int, int, int]] = []
        for fewer, more, rest in halves:
            tokens = self._tokens(config, (fewer, more, rest), is_prefill=is_prefill) if self.has_experts else 0.0
            found.append((
                self._attention.row(attention, fewer),
                self._attention.row(attention, more),
                self._experts.row(experts, tokens) if tokens else 0,
                self._exchange.row(exchange, tokens) if tokens and exchange else 0,
            ))  # fmt: skip
        return tuple(zip(*([(0, 0, 0, 0)] * (2 - len(found)) + found), strict=True))

    def parts_of(self, config: StageConfig, phase: Phase) -> StageParts:
        """The parts of a stage, whatever its sequences."""
        options, copies = config.options, _copies(config, phase)
        exchanges = self.has_experts and options.overlap > 1 and config.experts.ep > 1 and not config.is_apart
        in_exchange = exchanges and phase is Phase.PREFILL
        has_low_latency = self._facts.runtime.has_low_latency(is_both=config.is_both)
        attention = AttentionPart(
            phase, config.attention.tp, config.attention.cp, options.sequence_parallel, options.decode_context,
            options.shared_replicated, in_exchange,
        )  # fmt: skip
        whole = self._sums_experts(options) and config.experts.ep * config.experts.tp == copies
        dispatches = config.is_apart or not (whole or self._gathers(config))
        experts = ExpertsPart(
            phase, config.experts, options.redundant, options.overlap, in_exchange, config.is_apart, dispatches,
            has_low_latency,
        )  # fmt: skip
        exchange = ExchangePart(
            phase, config.experts, options.redundant, copies, self._sums_experts(options), self._gathers(config),
            has_low_latency,
        )  # fmt: skip
        has_exchange = not config.is_apart and (config.experts.width > 1 or copies > 1)
        return StageParts(attention, experts, exchange if has_exchange else None)

    def _sums_experts(self, options: Options) -> bool:
        return self._facts.runtime.sums_experts and options.overlap == 1

    def _gathers(self, config: StageConfig) -> bool:
        options = config.options
        if shapes_of(self._facts).experts is None or options.overlap > 1:
            return False
        ranks, domain = config.experts.ep * config.experts.tp, self._facts.cluster.gpus_per_node
        found = self._facts.runtime.exchange(ranks, domain, options.exchange, is_both=config.is_both)
        return found is ExpertExchange.GATHER

    def _reduces_shared(self, config: StageConfig, phase: Phase) -> bool:
        """Whether results of shared experts are reduced by themselves, wherever ranks lie."""
        group = config.experts.width if self._sums_experts(config.options) else config.experts.tp
        copies = _copies(config, phase)
        return config.options.sequence_parallel or copies not in (config.experts.tp, group)

    def _tokens(self, config: StageConfig, half: tuple[int, int, int], *, is_prefill: bool) -> float:
        """Tokens of the first expert group, those of the first ranks; of a pool all."""
        (fewer, more, rest), workload, attention = half, self._facts.workload, config.attention
        each, context = workload.fresh if is_prefill else 1 + workload.drafted, attention.tp * attention.cp
        if config.is_apart:
            return float((rest * more + (attention.dp - rest) * fewer) * each)
        group = config.experts.width
        # Engines number ranks of cp inside those of dp or outside, so that a group may be of ranks that have fewer.
        fuller = 0 if config.is_scattered or attention.cp > 1 else min(group, rest * context)
        of_rank = each // attention.cp / attention.tp if is_prefill else each / context
        return (fuller * more + (group - fuller) * fewer) * of_rank


class _PartTimes(Generic[Key]):
    """Times of parts, a row for each part and amount; the first row is of nothing."""

    def __init__(self, times: int, layers: int) -> None:
        self._index: dict[tuple[Key, float], int] = {}
        self._new: dict[Key, list[float]] = {}
        self._times: Picoseconds = np.zeros((1, times, layers), dtype=np.int64)

    def row(self, part: Key, amount: float) -> int:
        """The row of a part."""
        key = part, amount
        if key not in self._index:
            self._index[key] = len(self._index) + 1
            self._new.setdefault(part, []).append(amount)
        return self._index[key]

    def new(self) -> list[tuple[Key, list[float]]]:
        """Parts with the amounts whose rows have no times yet."""
        new, self._new = list(self._new.items()), {}
        return new

    def put(self, new: Sequence[tuple[Key, list[float]]], times: Iterator[Picoseconds]) -> Picoseconds:
        """Give these parts the times that come first; all rows, shape (rows, times, layers)."""
        if new:
            added = np.zeros((len(self._index) + 1, *self._times.shape[1:]), dtype=np.int64)
            added[: len(self._times)] = self._times
            for part, amounts in new:
                added[[self._index[part, amount] for amount in amounts]] = next(times)
            self._times = added
        return self._times


def _copies(config: StageConfig, phase: Phase) -> int:
    """Ranks that hold a token before the experts: those of tp, and in decode of cp."""
    copies = 1 if config.options.sequence_parallel else config.attention.tp
    return copies if phase is Phase.PREFILL else copies * config.attention.cp


def _halves(size: int, dp: int, overlap: int) -> list[tuple[int, int, int]]:
    """The micro-batch, or its halves, the larger first, as `dagc.lower.batch.halves` parts it.

    Sequences of a rank that has fewer, of one that has more, and how many have more; these are the first.
    """
    fewer, rest = divmod(size, dp)
    more = fewer + (rest > 0)
    if overlap == 1 or more < 2:
        return [(fewer, more, rest)]
    first, last = (fewer + 1) // 2, (more + 1) // 2
    return [(first, last, rest), (fewer - first, more - last, rest)]
