"""What a stage with lanes of its own did with its micro-batches, kept as series that go alike.

In a series each micro-batch does what a known turn did, as much later than the one before as that was than the one
before it. So what a pipeline did in a period is a few series for each stage, however many micro-batches there are, and
a run is made when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain

from dagc.timeline.advance import Message
from dagc.timeline.execute import Executed
from dagc.timeline.order import Member, Turn
from dagc.timeline.ran import Blocks, Invocation, Ran, Repeated
from dagc.timeline.replay import Known
from dagc.timeline.times import Time


@dataclass(slots=True, eq=False)
class Series:
    """Micro-batches `first` to `last` go as a known turn: the first `later` than that, each next one by `pace`."""

    known: Known
    first: int
    last: int
    later: Time
    pace: Time = 0

    def at(self, micro_batch: int) -> Time:
        """How much later than the known turn a micro-batch is."""
        return self.later if micro_batch == self.first else self.later + (micro_batch - self.first) * self.pace


@dataclass(slots=True, eq=False)
class Track:
    """What a stage did in a period, by micro-batch, as far as that is known.

    `sender` is the track that sends to it, while it runs; `before` is what its lanes were left by.
    """

    stage: int
    period: int
    sender: Track | None
    before: tuple[Known, Time] | None
    series: list[Series] = field(default_factory=list[Series])
    _firsts: list[int] = field(default_factory=list[int])

    def __len__(self) -> int:
        """Micro-batches that ran."""
        return self.series[-1].last + 1 if self.series else 0

    @property
    def last(self) -> tuple[Known, Time] | None:
        """What the lanes were left by."""
        return self.at(len(self) - 1) if self.series else self.before

    def note(self, known: Known, later: Time) -> None:
        """What the next micro-batch did."""
        micro_batch = len(self)
        self.series.append(Series(known, micro_batch, micro_batch, later))
        self._firsts.append(micro_batch)

    def go_on(self, last: int, pace: Time) -> None:
        """All up to another micro-batch go as the last one that ran."""
        self.series[-1].last, self.series[-1].pace = last, pace

    def at(self, micro_batch: int) -> tuple[Known, Time]:
        """A known turn that a micro-batch goes as, and how much later it is."""
        series = self.of(micro_batch)
        return series.known, series.at(micro_batch)

    def of(self, micro_batch: int) -> Series:
        """The series of a micro-batch."""
        return self.series[bisect_right(self._firsts, micro_batch) - 1]

    def pace(self, micro_batch: int) -> Time | None:
        """How much later a micro-batch was than the one before, where both went alike."""
        series = self.of(micro_batch)
        if micro_batch > series.first:
            return series.pace
        if micro_batch == 0:
            return None
        known, later = self.at(micro_batch - 1)
        return series.later - later if known is series.known else None

    def sent(self, micro_batch: int) -> Iterator[tuple[int, Message]]:
        """The messages of a micro-batch, with their numbers."""
        known, by = self.at(micro_batch)
        for post in known.posts:
            yield post.number, (post.start + by, post.end + by)


class Followed(Ran):
    """What the stages of a pipeline did in a period, micro-batch by micro-batch, stage by stage.

    Each team works for one stage, and what a stage does it does in the order of the micro-batches.
    """

    def __init__(self, sizes: Sequence[int], turns: Sequence[dict[int, Turn]], tracks: Sequence[Track]) -> None:
        """`sizes` are those of the micro-batches; `turns` and `tracks` are by stage, turns by size too."""
        self._sizes, self._turns, self._tracks = sizes, turns, tracks
        self._made: dict[int, Executed] = {}
        self._numbers: dict[int, list[int]] = {}
        counts = {size: [len(by_size[size]) for by_size in turns] for size in turns[0]}
        self._offsets = {size: [0, *accumulate(each)] for size, each in counts.items()}
        self._bases = [0, *accumulate([self._offsets[size][-1] for size in sizes])]

    def __len__(self) -> int:
        """Runs."""
        return self._bases[-1]

    def run(self, number: int) -> Executed:
        """One of the runs."""
        found = self._made.get(number)
        if found is None:
            found = self._made[number] = self._make(number)
        return found

    def peers(self, number: int) -> range:
        """The run itself: stages do not run in lock step."""
        return range(number, number + 1)

    def of_invocation(self, invocation: Invocation) -> range:
        """The runs of an invocation, in order; empty where it ran in another period."""
        step, micro_batch, stage = invocation
        return self._runs(micro_batch, stage) if step == self._tracks[stage].period else range(0)

    def of_team(self, team: int) -> Sequence[int]:
        """The runs that a team takes part in, in order."""
        return self._of_stage(self._stages[team]) if team in self._stages else ()

    def repeated(self, team: int) -> list[Repeated]:
        """One for each series of its stage."""
        if team not in self._stages:
            return []
        track = self._tracks[self._stages[team]]
        firsts = [(one, self._runs(one.first, track.stage)) for one in track.series]
        return [Repeated(self[runs.start : runs.stop], 1 + one.last - one.first, one.pace) for one, runs in firsts]

    @property
    def blocks(self) -> Blocks:
        """The runs, each a block of its own."""
        return [[executed] for executed in self]

    def last_done(self) -> tuple[int, int] | None:
        """When the last run is done, and the number of the first that is done then."""
        stages = range(len(self._tracks))
        last = [self._runs(len(self._sizes) - 1, stage) for stage in stages]
        ends = [max([self.run(number).last_end for number in runs]) for runs in last]
        done = max(ends)
        return done, min([self._first_done(stage, done) for stage in stages if ends[stage] == done])

    def more_rounds(self, earlier: int, later: int) -> int:
        """As often as the series goes on, if the way led through one micro-batch of it.

        A way back that has left a stage does not return to it, so it led along the lanes of the stage. Messages that
        were not waited for may have come later in earlier micro-batches, but within a series still too early.
        """
        (micro_batch, *place), (last, *left) = self._place(earlier), self._place(later)
        first = self._tracks[place[0]].of(last).first
        return max(0, micro_batch - first) if place == left and last - micro_batch == 1 else 0

    def _runs(self, micro_batch: int, stage: int) -> range:
        """The runs of a stage and micro-batch."""
        base, offsets = self._bases[micro_batch], self._offsets[self._sizes[micro_batch]]
        return range(base + offsets[stage], base + offsets[stage + 1])

    def _first_done(self, stage: int, time: int) -> int:
        """The first run of a stage that is done when its last one is: it may be followed by some that take no time."""
        first = len(self)
        for micro_batch in reversed(range(len(self._sizes))):
            runs = self._runs(micro_batch, stage)
            done = next((number for number in runs if self.run(number).last_end == time), None)
            if done is None:
                break
            first = done
        return first

    def _place(self, number: int) -> tuple[int, int, int]:
        """Micro-batch, stage and number of the block of a run."""
        micro_batch = bisect_right(self._bases, number) - 1
        offsets, within = self._offsets[self._sizes[micro_batch]], number - self._bases[micro_batch]
        stage = bisect_right(offsets, within) - 1
        return micro_batch, stage, within - offsets[stage]

    def _make(self, number: int) -> Executed:
        micro_batch, stage, block = self._place(number)
        size, track = self._sizes[micro_batch], self._tracks[stage]
        known, by = track.at(micro_batch)
        piece, like = known.pieces[block], self._turns[stage][size][block].members[0]
        at = track.period, micro_batch, size, stage
        return piece.again(Member(*at, like.position, 0, like.segment, like.program), piece.mail_base, by)

    @cached_property
    def _stages(self) -> dict[int, int]:
        """The stage that each team works for."""
        turns = [(stage, turn) for stage, by_size in enumerate(self._turns) for turn in by_size.values()]
        return {team: stage for stage, turn in turns for block in turn for team in block.members[0].program.teams}

    def _of_stage(self, stage: int) -> list[int]:
        """The runs of a stage, in order."""
        found = self._numbers.get(stage)
        if found is None:
            of_each = [self._runs(micro_batch, stage) for micro_batch in range(len(self._sizes))]
            found = self._numbers[stage] = list(chain.from_iterable(of_each))
        return found
