"""What is searched: the GPUs, the coordinates, and the values that are tried of each.

Degrees are searched whole: every dp, pp, ep, tp and cp with which a strategy takes no more than the cluster's GPUs. Of
coordinates without an end (micro-batches, redundant experts, uneven layers) the values that are tried are those below,
and a result says so. Coordinates of `EXTRAS` are searched where they are asked for; who says nothing to the command
asks for `phase-pools`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from dagc.plan.deployment import Options, Phase
from dagc.plan.splits import split
from dagc.search.candidate import Shape

EXTRAS = {
    "layers": "uneven layer splits: the remainder on the last stages, or one layer less on the last stage",
    "inner-dp": "attention dp inside cp, in addition to outside",
    "sp": "sequence parallelism",
    "dcp": "decode-context parallelism, powers of two that divide tp",
    "shared": "replicated shared experts",
    "redundant": "redundant experts: up to an even number per rank, and one more per rank",
    "attention-pools": "separate attention and expert pools, per stage or for all stages",
    "phase-pools": "prefill-decode disaggregation, each phase with any valid service whose weights fit",
}
"""Coordinates that are searched where they are asked for, and what they try."""

ALWAYS = (
    "dp, pp, ep, tp, cp of every degree; experts and attention nested and folded; attention dp; "
    "micro-batches of 1, 2, 4, … and one per stage; overlap of 1 and 2"
)
"""What is always searched, in words."""

MOST_MICRO = 64
"""Micro-batches past this are not tried: a pipeline of 8 stages then idles for a tenth of a prefill."""


@dataclass(frozen=True, slots=True)
class Space:
    """The bounds of a search. `gpus` is the most a strategy may take, `batches` the sequences that are tried.

    `layers` and `experts` are the model's, `experts` 0 for a dense one; `has_shared` whether it has shared experts.
    `over` are names of `EXTRAS`. `takes_layers` is False where an engine has its own split.
    """

    gpus: int
    batches: tuple[int, ...]
    layers: int
    experts: int
    has_shared: bool
    over: frozenset[str] = frozenset()
    takes_layers: bool = True

    def splits(self, stages: int) -> tuple[tuple[int, ...] | None, ...]:
        """Splits of the layers over stages; None is the even one."""
        if stages == 1 or "layers" not in self.over or not self.takes_layers:
            return (None,)
        even = split(self.layers, stages)
        last = tuple(reversed(even))
        lighter = (even[0] + 1, *even[1:-1], even[-1] - 1)
        more = [one for one in (last, lighter) if one != even and min(one) > 0]
        return (None, *dict.fromkeys(more))

    def options(self, shape: Shape, phase: Phase, batch: int) -> Iterator[Options]:
        """The options that are tried of a shape, the plain ones first."""
        for inside in self.stage_choices(shape, phase):
            for micro in self.micro_batches(shape.stages, shape.replicas, batch):
                is_plain = micro is None and shape.layers is None
                yield inside if is_plain else replace(inside, micro=micro, layers=shape.layers)

    def stage_choices(self, shape: Shape, phase: Phase) -> Iterator[Options]:
        """The options that are tried inside a stage, the plain ones first."""
        for overlap, redundant, sp, dcp, whole in product(*self._inside(shape, phase)):
            yield Options(None, None, redundant, overlap, sp, dcp, whole)

    def micro_batches(self, stages: int, replicas: int, batch: int) -> tuple[int | None, ...]:
        """The micro-batches that are tried beside None, which is one a stage; none is empty."""
        if stages == 1:
            return (None,)
        sequences = -(-batch // replicas)
        usual = min(stages, sequences)
        return (None, *(n for n in _powers(min(sequences, MOST_MICRO)) if n != usual))

    def stage_options(self, shape: Shape, phase: Phase) -> int:
        """How many options are tried of what is in a stage; those of its pipeline multiply them."""
        return prod(map(len, self._inside(shape, phase)))

    def _inside(
        self, shape: Shape, phase: Phase
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[int, ...], tuple[bool, ...]]:
        """Values of overlap, redundant experts, sp, dcp and of shared experts held whole."""
        tp, ep = shape.attention.tp, shape.experts.ep
        has_dcp = "dcp" in self.over and phase is not Phase.PREFILL
        return (
            (1, 2) if ep > 1 else (1,),
            self._redundant(ep),
            (False, True) if "sp" in self.over and tp > 1 else (False,),
            tuple(d for d in _powers(tp) if tp % d == 0) if has_dcp else (1,),
            (False, True) if "shared" in self.over and self.has_shared and tp > 1 and ep > 1 else (False,),
        )

    def _redundant(self, ep: int) -> tuple[int, ...]:
        if "redundant" not in self.over or ep == 1:
            return (0,)
        even = -self.experts % ep
        tried = (0, even, even + ep) if even else (0, ep)
        return tuple(number for number in tried if self.experts + number >= ep)


def _powers(most: int) -> tuple[int, ...]:
    return tuple(1 << i for i in range(most.bit_length()))
