"""Step times of a service from the priced graph, at the nodes that the event loop interpolates between.

A step with n decode sequences and P prompt tokens, on the rank with most of them, is taken apart in terms each of which
is smooth or depends on one number, so that few steps have to be priced:

    decode(n, X)     = D(n) + n a(n, X / n)
    prompts(P, s)    = M0(P) + e0(P, s)
    mixed(n, P, s)   = M1(r) + h(n, P) + P q(P) + e1(P, s) + n a          r = (1 + drafted) n + P, rows of products

s is the position from which one prompt of P tokens would attend to as many positions as those of the step do, negative
where they are of several prompts. D, M0 and M1 have the jumps of tiles and are priced by number (`Curve`): decode
sequences of the usual context, one whole prompt, one decode sequence in each micro-batch with prompts of `SHORT`
tokens. The others are smooth, priced at few nodes: a is what one sequence adds by its context, h what n sequences add
in place of as many rows of prompts, q what a prompt token adds because its prompt is one, e what its position adds. D,
M0 and M1 are priced for each node of fullness.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dagc.catalog.attention import Reach
from dagc.lower.batch import StepLoad
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import micro_batch_count
from dagc.simulate.curve import TILE, Curve
from dagc.simulate.gaps import Nodes, Numbers
from dagc.simulate.priced_steps import PricedSteps

SHORT = 128
"""Tokens of each prompt in steps of which only the rows matter."""

_CONTEXTS = (16, 2048, 32768, 262144)
_POSITIONS = (0, 64, 256, 1024, 4096, 16384, 65536, 262144)
_FULLNESS = (0.25, 0.5, 0.75, 0.9, 1.0)
_SMOOTH_SEQUENCES = (1, 2, 4, 16, 64, 128, 256, 512, 1024, 4096)
_DRAWING_SEQUENCES = (1, 2, 4, 8, 12, 14, 16, 20, 24, 28, 32, 40, 48, 52, 56, 64, 96, 128, 256, 512, 1024, 4096)
"""Few sequences do not draw all of a GPU's bandwidth, so that what contexts add has kinks at a number of these."""
_SMOOTH_PROMPTS = (1, 2, 4, 8, 16, 128, 512, 2048, 8192, 32768, 131072)
_PAIRED_PROMPTS = (512, 2048, 8192, 32768, 131072)
_SMOOTH_BESIDE = (1, 2, 4, 8, 16, 128, 1024, 8192)
_SHIFT = 16


@dataclass(slots=True)
class GraphTimes:
    """Step times of one service of a plan.

    `context` is the decode context at which prompts are added. No step has more than `most_sequences` decode sequences
    and `most_tokens` tokens on a rank: beyond these, times are extrapolated.
    """

    plan: Plan
    service: Service
    context: int
    most_sequences: int = 1024
    most_tokens: int = 16384
    fullness: Nodes = field(init=False)
    prompts: Nodes = field(init=False)
    contexts: Nodes = field(init=False)
    sequences: Nodes = field(init=False)
    pieces: int = field(init=False)
    steps: PricedSteps = field(init=False)
    _decode_contexts: tuple[int, ...] = field(init=False)
    _decode: list[Curve] = field(init=False)
    _alone: list[Curve] = field(init=False)
    _mixed: list[Curve] = field(init=False)
    _added: dict[int, Nodes] = field(default_factory=dict[int, Nodes])
    """What contexts add to a decode step, by its sequences; in picoseconds, alike for each node of fullness."""
    _corners: dict[tuple[int, int, int, int], int] = field(default_factory=dict[tuple[int, int, int, int], int])

    def __post_init__(self) -> None:
        """Nodes, and the functions of one number."""
        ranks = self.service.attention_ranks
        self.steps = PricedSteps(self.plan, self.service)
        self.fullness = np.array([1 / ranks, *(one for one in _FULLNESS if one > 1 / ranks)])
        self.prompts = np.array(_tiled(128, 16, 2048, self.most_tokens), dtype=float)
        self.sequences = np.array(_tiled(64, 8, 512, self.most_sequences), dtype=float)
        limits = _limits(self.plan)
        self.contexts = np.array(sorted({-self.most_tokens, *_POSITIONS, *limits}), dtype=float)
        self._decode_contexts = tuple(sorted({*_CONTEXTS, *limits}))
        self.pieces = len(self._decode_contexts) - 1
        self._decode, self._alone, self._mixed = (
            [Curve(partial(function, float(share))) for share in self.fullness]
            for function in (self._decode_step, self._prompt_step, self._mixed_step)
        )

    @property
    def priced(self) -> int:
        """Steps that were priced."""
        return self.steps.priced

    def line(self, sequences: int, fullness: int, unit: int) -> Numbers:
        """As `StepTimes.line` says."""
        if sequences not in self._added:
            added = [self._by_context(sequences, one) for one in self._decode_contexts]
            self._added[sequences] = np.array(added)
        times = self._decode[fullness].at(sequences) + self._added[sequences]
        ends = np.array(self._decode_contexts, dtype=np.int64) * sequences * unit
        slopes = np.maximum(np.floor(np.diff(times) * (1 << _SHIFT) / np.diff(ends)).astype(np.int64), 0)
        begins = np.array([0, *ends[1:-1]], dtype=np.int64)
        starts = np.array([times[0] - float(slopes[0] * ends[0] >> _SHIFT), *times[1:-1]])
        return np.column_stack([begins, np.round(starts).astype(np.int64), slopes])

    def corner(self, sequences: int, prompt: int, context: int, fullness: int) -> int:
        """As `StepTimes.corner` says."""
        key = sequences, prompt, context, fullness
        if key not in self._corners:
            self._corners[key] = self._corner(*key)
        return self._corners[key]

    def _corner(self, sequences: int, prompt: int, context: int, fullness: int) -> int:
        held, rows, position = (
            int(nodes[at])
            for nodes, at in ((self.sequences, sequences), (self.prompts, prompt), (self.contexts, context))
        )
        if not held:
            return round(self._alone[fullness].at(rows) + self._by_position(0, rows, position))
        # Fewer rows than those of the sequences are no step, but one end of an interval in which there is one.
        tokens = rows - held * self._rows
        common = self._mixed[fullness].at(max(rows, self._one_each * self._rows + 1)) - self._decode[fullness].at(held)
        added = self._by_sequence(held, tokens) + self._by_length(tokens)
        return round(common + added + self._by_position(self._one_each, tokens, position))

    @property
    def _rows(self) -> int:
        """Rows of one decode sequence."""
        return 1 + self.plan.facts.workload.drafted

    @property
    def _one_each(self) -> int:
        """The fewest decode sequences of which each rank has one in every micro-batch.

        With fewer, prompts would ride in micro-batches of some ranks alone.
        """
        return micro_batch_count(self.service, sys.maxsize)

    def step(self, sequences: int, load: StepLoad) -> int:
        """Picoseconds of one step with so many decode sequences on the fullest rank, as it is priced."""
        return self.steps.step(sequences, load).interval

    # Functions of one number.

    def _decode_step(self, fullness: float, sequences: int) -> int:
        return self.step(sequences, StepLoad(float(self.context), fullness=fullness))

    def _prompt_step(self, fullness: float, tokens: int) -> int:
        return self.step(0, StepLoad(self._context, tokens, max(1, tokens), 0, fullness)) if tokens else 0

    def _mixed_step(self, fullness: float, rows: int) -> int:
        prompts = rows - self._one_each * self._rows
        return self.step(self._one_each, StepLoad(self._context, prompts, SHORT, 0, fullness))

    @property
    def _context(self) -> float:
        return float(self.context)

    # Smooth terms, for fullness 1.

    def _by_context(self, sequences: int, context: int) -> float:
        """Picoseconds that so many sequences add because their context is not `self.context`."""

        def at(node: int) -> float:
            here, usual = (self.step(node, StepLoad(float(one))) for one in (context, self.context))
            return here - usual

        return _interpolated(_DRAWING_SEQUENCES, sequences, at)

    def _by_sequence(self, sequences: int, tokens: int) -> float:
        """Picoseconds that decode sequences add to a mixed step in place of as many rows of prompts."""

        def at(beside: int, node: int) -> float:
            step = self.step(node, StepLoad(self._context, beside, SHORT))
            rows = max(beside + node * self._rows, self._one_each * self._rows + 1)
            return step - self._mixed_step(1.0, rows)

        def beside(node: int) -> float:
            return _interpolated(_SMOOTH_SEQUENCES, sequences, partial(at, node))

        return _interpolated(_SMOOTH_BESIDE, max(tokens, 1), beside)

    def _by_length(self, tokens: int) -> float:
        """Picoseconds that prompt tokens beside decode add because they are of one prompt, not of short ones."""
        return tokens * _interpolated(_SMOOTH_PROMPTS, tokens, self._length_at)

    def _length_at(self, tokens: int) -> float:
        loads = (StepLoad(self._context, tokens, one) for one in (tokens, SHORT))
        whole, short = (self.step(self._one_each, load) for load in loads)
        return (whole - short) / tokens

    def _by_position(self, sequences: int, tokens: int, position: int) -> float:
        """Picoseconds that prompt tokens add to a step because their prompt does not begin at position 0.

        A position below 0 takes as much less as they attend to fewer positions: in proportion to two prompts of half
        as many tokens each, which are at -1/4 of these.
        """

        def at(node: int) -> float:
            here, first = (self.step(sequences, one) for one in (load(node), StepLoad(self._context, node, node)))
            return here - first

        def load(node: int) -> StepLoad:
            if position > 0:
                return StepLoad(self._context, node, node, position)
            return StepLoad(self._context, node, -(-node // 2))

        if position > 0:
            return _interpolated(_SMOOTH_PROMPTS, tokens, at)
        if position < 0:
            return position * tokens * _interpolated(_PAIRED_PROMPTS, tokens, lambda node: -4 * at(node) / node**2)
        return 0.0


def _interpolated(nodes: Sequence[int], value: int, at: Callable[[int], float]) -> float:
    place = min(max(bisect_right(nodes, value) - 1, 0), len(nodes) - 2)
    low, high = nodes[place], nodes[place + 1]
    share = (value - low) / (high - low)
    first = at(low)
    return first if not share else first + (at(high) - first) * share


def _tiled(dense: int, stride: int, fine: int, most: int) -> list[int]:
    """Every number up to `dense`, every so many up to `fine`, and up to the first multiple of the tile beyond `most`
    each such multiple and its neighbours, where a kernel takes one more tile. The last number is twice that: beyond it
    times go on by the slope up to it, not by that of one tile.
    """
    tiles = range(TILE, most + TILE, TILE)
    near = {tile + one for tile in tiles for one in ((-1, 0, 1) if tile <= 2 * fine else (0, 1))}
    return sorted({*range(min(dense, most) + 1), *range(dense, min(fine, most), stride), *near, 2 * (most + TILE)})


def _limits(plan: Plan) -> set[int]:
    """Contexts from which a layer attends to no further positions."""
    shapes = plan.facts.model.shapes()
    found: set[int] = set()
    for kind in shapes.layer_kinds() if shapes else ():
        reach: Reach = kind.reach
        found |= {reach.window or 0, (reach.top or 0) * max(1, reach.ratio)}
    return found - {0}
