"""What a rank takes at least under a load, whatever the size of the service that it is part of.

A rank's work follows from how attention (tp, cp) and experts (ep, tp) are cut, and from how many sequences of a
micro-batch a GPU has. How many such ranks there are changes none of it, so that these times hold for services of any
number of GPUs, replicas and stages.

Loads are sequences a GPU, in intervals between the points of a grid; a time is that of the least load of its interval,
from the same parts as the bounds of one service (`dagc.search.layer_bounds`): no operator takes longer for fewer
tokens. With q sequences on each rank of attention on average, one has more than q rounded down, and the first expert
group no fewer tokens than any; where cp lets engines number ranks in two ways, q rounded down counts for experts.
Degrees of cp may be one class: its parts are those of the largest, its GPUs those of the smallest, its collectives
those of the faster of both, and exchanges count as nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.degrees import Degrees
from dagc.graph.priced import PICOSECONDS, Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.search.bounds import Figures
from dagc.search.layer_bounds import LayerBounds, StageConfig, StageParts, TimesOf
from dagc.search.layer_parts import COLLECTIVES, HIGH, LOW, SUMS, TRUNK, AttentionPart, ExchangePart, ExpertsPart, Work

Places = npt.NDArray[np.int64]


class Level(IntEnum):
    """What is counted: attention alone, experts at some loads, exchanges as well, or all under all loads."""

    ATTENTION = 0
    EXPERTS = 1
    COARSE = 2
    FINE = 3


class AttentionClass(NamedTuple):
    """Attention of tp, and of cp of `fewest` to `most`."""

    tp: int
    fewest: int
    most: int

    @property
    def is_exact(self) -> bool:
        """Whether it is one degree."""
        return self.fewest == self.most

    @property
    def ranks(self) -> int:
        """Ranks of a sequence, at least."""
        return self.tp * self.fewest


class ExpertsClass(NamedTuple):
    """Experts cut in one way, with one overlap."""

    degrees: Degrees
    overlap: int


class StageTimes(NamedTuple):
    """Seconds of all layers at least, by class of experts and load.

    `path` of a micro-batch from entering the first layer to leaving the last, `busy` of a rank with it, of which
    `trailing` of one layer at most may be beside the next micro-batch.
    """

    path: Figures
    busy: Figures
    trailing: Figures


@dataclass(slots=True)
class _Grid:
    """Of a part under all loads: its sum over layers on the rank with least and with most to do; the most of one."""

    lowest: Figures
    fullest: Figures
    most: Figures
    is_fine: bool


@dataclass(slots=True)
class RankTimes:
    """Times of ranks under loads, which are the lower ends of intervals: the first is 0.

    At the places that are `coarse`, the first among them, times are worked out first.
    """

    bounds: LayerBounds
    times_of: TimesOf
    fresh: int
    decoded: int
    loads: Figures
    coarse: Places
    _attention: dict[tuple[AttentionPart, int], Figures] = field(
        default_factory=dict[tuple[AttentionPart, int], Figures]
    )
    _grids: dict[ExpertsPart | ExchangePart, _Grid] = field(default_factory=dict[ExpertsPart | ExchangePart, _Grid])

    def stage(
        self, attention: AttentionClass, experts: Sequence[ExpertsClass], phase: Phase, level: Level, *, is_both: bool
    ) -> StageTimes:
        """Times of a stage that has all layers, by class of experts and load, in a service for both phases or not."""
        found: Figures = np.zeros((3, len(experts), len(self.loads)))
        for overlap in sorted({one.overlap for one in experts}):
            rows = [row for row, one in enumerate(experts) if one.overlap == overlap]
            parts = [self._parts(attention, experts[row], phase, is_both=is_both) for row in rows]
            if level > Level.ATTENTION:
                self._fill(parts, phase, level)
            work = self._whole if overlap == 1 else self._halved
            found[:, rows] = work(attention, parts, phase, level)
        return StageTimes(*found)

    def prompts(self, asked: Sequence[tuple[AttentionClass, ExpertsClass]], each: int) -> Figures:
        """Seconds of a prefill of `each` prompts on each rank of attention, of each pair of classes."""
        parts = [self._parts(attention, one, Phase.PREFILL) for attention, one in asked]
        work: list[Work] = []
        for (attention, _), one in zip(asked, parts, strict=True):
            of_rank = self.fresh * each // attention.most / attention.tp
            work += [(part, [of_rank * one.experts.experts.width]) for part in self._moe(attention, one)]
        times, found = iter(self.times_of(work) if work else ()), np.zeros(len(parts))
        for row, ((attention, _), one) in enumerate(zip(asked, parts, strict=True)):
            attended = self._attended(one.attention, [each], attention)[0]
            found[row] = attended[HIGH] + attended[COLLECTIVES]
            for part in self._moe(attention, one):
                whole = next(times).sum(axis=2)[0] / PICOSECONDS
                found[row] += whole[LOW] + whole[SUMS] if isinstance(part, ExpertsPart) else whole[0]
        return found

    def experts_alone(self, experts: Sequence[ExpertsClass], tokens: Sequence[float]) -> Figures:
        """Seconds of experts in a prefill of so many tokens a GPU, by class and tokens."""
        if not self.bounds.has_experts:
            return np.zeros((len(experts), len(tokens)))
        parts = [self._parts(AttentionClass(1, 1, 1), one, Phase.PREFILL).experts for one in experts]
        work: list[Work] = [(part, [one * part.experts.width for one in tokens]) for part in parts]
        return np.array([(one[:, LOW] + one[:, SUMS]).sum(axis=1) for one in self.times_of(work)]) / PICOSECONDS

    def alone(self, attention: AttentionClass, prompts: int = 1) -> float:
        """Seconds of attention's part with some prompts on a rank."""
        part = AttentionPart(Phase.PREFILL, attention.tp, attention.most, False, 1, False, False)
        return float(self._attended(part, [prompts], attention)[0, HIGH])

    def _moe(self, attention: AttentionClass, one: StageParts) -> list[ExpertsPart | ExchangePart]:
        """Parts that depend on the tokens of an expert group."""
        if not self.bounds.has_experts:
            return []
        return [one.experts, one.exchange] if one.exchange and attention.is_exact else [one.experts]

    def _parts(
        self, attention: AttentionClass, experts: ExpertsClass, phase: Phase, *, is_both: bool = False
    ) -> StageParts:
        degrees = Degrees(tp=attention.tp, cp=attention.most)
        cut = experts.degrees if self.bounds.has_experts else Degrees(tp=attention.tp)
        options = Options(overlap=experts.overlap)
        return self.bounds.parts_of(StageConfig(degrees, cut, False, False, options, is_both), phase)

    def _attended(self, part: AttentionPart, sequences: Sequence[int], attention: AttentionClass) -> Figures:
        """Sums over layers of attention's part, and the most of a layer of its collectives, by sequences of a rank."""
        found = self._of_attention(part, sequences)
        if not attention.is_exact:
            lowest = self._of_attention(part._replace(cp=attention.fewest), sequences)
            found[:, [COLLECTIVES, -1]] = np.minimum(found, lowest)[:, [COLLECTIVES, -1]]
        return found

    def _of_attention(self, part: AttentionPart, sequences: Sequence[int]) -> Figures:
        new = sorted({one for one in sequences if one and (part, one) not in self._attention})
        if new:
            (times,) = self.times_of([(part, new)])
            for one, row in zip(new, times, strict=True):
                self._attention[part, one] = np.append(row.sum(axis=1), row[COLLECTIVES].max()) / PICOSECONDS
        nothing = np.zeros(6)
        return np.array([self._attention[part, one] if one else nothing for one in sequences])

    def _each(self, phase: Phase) -> int:
        return self.fresh if phase is Phase.PREFILL else self.decoded

    def _fill(self, parts: Sequence[StageParts], phase: Phase, level: Level) -> None:
        """Times of experts and exchanges under all loads, or at coarse points, each of which holds up to the next."""
        if not self.bounds.has_experts:
            return
        is_fine, asked = level is Level.FINE, dict[ExpertsPart | ExchangePart, None]()
        for one in parts:
            for part in (one.experts, one.exchange if level > Level.EXPERTS else None):
                known = self._grids.get(part) if part else None
                if part and (known is None or (is_fine and not known.is_fine)):
                    asked[part] = None
        places = np.arange(len(self.loads)) if is_fine else self.coarse
        work: list[Work] = [
            (part, (self.loads[places] * (self._each(phase) * part.experts.width)).tolist()) for part in asked
        ]
        for part, times in zip(asked, self.times_of(work) if work else (), strict=True):
            self._grids[part] = self._spread(part, times, places, is_fine)

    def _spread(self, part: ExpertsPart | ExchangePart, times: Picoseconds, places: Places, is_fine: bool) -> _Grid:
        """Of the points that were worked out the times of all."""
        rows = (
            [times[:, LOW] + times[:, SUMS], times[:, HIGH] + times[:, SUMS]] if isinstance(part, ExpertsPart) else []
        )
        rows = rows or [times[:, 0], times[:, 0]]
        held = np.searchsorted(places, np.arange(len(self.loads)), side="right") - 1
        found = np.array([*(one.sum(axis=1) for one in rows), rows[0].max(axis=1)]) / PICOSECONDS
        # Of no tokens nothing is asked: an operator of none may have launches.
        found[:, self.loads[places] == 0] = 0
        lowest, fullest, most = found[:, held]
        return _Grid(lowest, fullest, most, is_fine)

    def _experts_at(
        self, parts: Sequence[StageParts], attention: AttentionClass, tokens: Figures, phase: Phase, level: Level
    ) -> tuple[Figures, Figures, Figures, Figures]:
        """Experts on the rank with least and with most to do, exchanges, and the most of a layer of these, of so many
        tokens a GPU.
        """
        nothing = np.zeros((len(parts), len(tokens)))
        if not self.bounds.has_experts or level is Level.ATTENTION:
            return nothing, nothing, nothing, nothing
        at = np.searchsorted(self.loads * self._each(phase) * (1 - 1e-12), tokens, side="right") - 1
        grids = [self._grids[one.experts] for one in parts]
        lowest, fullest = np.array([one.lowest[at] for one in grids]), np.array([one.fullest[at] for one in grids])
        if not attention.is_exact or level is Level.EXPERTS:
            return lowest, fullest, nothing, nothing
        zeros = np.zeros(len(self.loads))
        none = _Grid(zeros, zeros, zeros, is_fine=True)
        held = [self._grids[one.exchange] if one.exchange else none for one in parts]
        return lowest, fullest, np.array([one.lowest[at] for one in held]), np.array([one.most[at] for one in held])

    def _tokens(self, attention: AttentionClass, sequences: Figures, phase: Phase) -> Figures:
        """Tokens a GPU of the first expert group, of so many sequences on a rank of attention on average."""
        each = self._each(phase)
        counted = sequences if attention.most == 1 else np.floor(sequences)
        of_rank = (
            each // attention.most / attention.tp if phase is Phase.PREFILL else each / (attention.most * attention.tp)
        )
        return counted * of_rank

    def _whole(self, attention: AttentionClass, parts: Sequence[StageParts], phase: Phase, level: Level) -> Figures:
        """Of micro-batches that are not halved."""
        sequences = self.loads * attention.ranks
        fewer = np.floor(sequences).astype(np.int64)
        attended = self._attended(parts[0].attention, (fewer + 1).tolist(), attention)
        others = self._attended(parts[0].attention, fewer.tolist(), attention)
        lowest, fullest, exchanged, most = self._experts_at(
            parts, attention, self._tokens(attention, sequences, phase), phase, level
        )
        first, last = attended[:, HIGH] + lowest, others[:, LOW] + fullest
        collectives, fewest = attended[:, COLLECTIVES] + exchanged, others[:, COLLECTIVES] + exchanged
        whole = np.maximum(first + collectives, last + fewest)
        return np.stack([whole, whole, most + attended[:, -1]])

    def _halved(self, attention: AttentionClass, parts: Sequence[StageParts], phase: Phase, level: Level) -> Figures:
        """Of micro-batches of which each half is computed beside the collectives of the other; one sequence is none.

        The first half has half of the sequences or more, the second all but one that are left.
        """
        sequences = self.loads * attention.ranks
        more = np.floor(sequences).astype(np.int64) + 1
        computed = exchanges = np.zeros((len(parts), len(sequences)))
        path = computed
        for half, (held, lowest) in enumerate((
            ((more + 1) // 2, sequences / 2), (more // 2, np.maximum(0, (sequences - 1) / 2))
        )):  # fmt: skip
            attended = self._attended(parts[0].attention, held.tolist(), attention)
            experts, _, exchanged, _ = self._experts_at(
                parts, attention, self._tokens(attention, lowest, phase), phase, level
            )
            computed = computed + attended[:, HIGH] + experts
            exchanges = exchanges + attended[:, COLLECTIVES] + exchanged
            if half == 0:
                path = attended[:, TRUNK] + experts + attended[:, COLLECTIVES] + exchanged
        busy = np.maximum(computed, exchanges)
        halved = np.stack([np.maximum(path, busy), busy, np.zeros(busy.shape)])
        whole = self._whole(attention, parts, phase, level)
        # An interval that begins below one sequence may end above it.
        lowest = np.where(sequences < 1, np.minimum(halved, whole), halved)
        lowest[2] = np.where(sequences < 1, whole[2], 0)
        return lowest
