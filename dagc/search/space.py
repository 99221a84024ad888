"""What is searched: the GPUs, the coordinates, and the values that are tried of each.

Degrees are searched whole: every dp, pp, ep, tp and cp with which a strategy takes no more than the cluster's GPUs. Of
coordinates without an end (micro-batches, redundant experts, uneven layers) the values that are tried are those below,
and a result says so. Coordinates of `EXTRAS` are searched where they are asked for; the command asks by default
for `phase-pools`.

Shapes are built from divisors, so each is well-typed and has its GPUs, and the same meaning is built once; members of a
family differ in options only. Two kinds of refusal leave shapes out, and both are counted. A rule on degrees refuses a
degree (a tp that does not divide the heads) in every plan that has it, so its strategies are counted by multiplication,
not built. A rule of an engine refuses two divisions together, so it is asked of each shape as a whole, and one degree's
refusal is never taken from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import lcm, prod
from typing import NamedTuple

from dagc.degrees import Degrees
from dagc.plan.deployment import Options, Phase
from dagc.plan.splits import split
from dagc.search.candidate import Candidate, PoolForm, ServicePlan, ServiceShape, spell

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
    """The bounds of a search. A strategy takes `fewest` to `gpus` GPUs; `batches` are the sequences that are tried.

    `layers` and `experts` are the model's, `experts` 0 for a dense one; `has_shared` whether it has shared experts.
    `over` are names of `EXTRAS`. `takes_layers` is False where an engine has its own split. `in_steps` where requests
    come and go: GPUs that prefill alone take a step of prompts as one micro-batch.
    """

    gpus: int
    batches: tuple[int, ...]
    layers: int
    experts: int
    has_shared: bool
    over: frozenset[str] = frozenset()
    takes_layers: bool = True
    fewest: int = 1
    in_steps: bool = False

    @property
    def sizes(self) -> range:
        """GPUs that a strategy may take."""
        return range(self.fewest, self.gpus + 1)

    def splits(self, stages: int) -> tuple[tuple[int, ...] | None, ...]:
        """Splits of the layers over stages; None is the even one."""
        if stages == 1 or "layers" not in self.over or not self.takes_layers:
            return (None,)
        even = split(self.layers, stages)
        last = tuple(reversed(even))
        lighter = (even[0] + 1, *even[1:-1], even[-1] - 1)
        more = [one for one in (last, lighter) if one != even and min(one) > 0]
        return (None, *dict.fromkeys(more))

    def options(self, shape: ServiceShape, phase: Phase, batch: int) -> Iterator[Options]:
        """The options that are tried of a shape, the plain ones first."""
        for inside in self.stage_choices(shape, phase):
            for micro in self.micro_batches(shape, phase, batch):
                is_plain = micro is None and shape.layers is None
                yield inside if is_plain else replace(inside, micro=micro, layers=shape.layers)

    def stage_choices(self, shape: ServiceShape, phase: Phase) -> Iterator[Options]:
        """The options that are tried inside a stage, the plain ones first."""
        for overlap, redundant, sp, dcp, whole in product(*self._inside(shape, phase)):
            yield Options(None, None, redundant, overlap, sp, dcp, whole)

    def micro_batches(self, shape: ServiceShape, phase: Phase, batch: int) -> tuple[int | None, ...]:
        """The micro-batches that are tried beside None, which is one a stage, or a step; none is empty."""
        is_step = self.in_steps and phase is Phase.PREFILL and shape.form is PoolForm.SHARED
        if shape.stages == 1 or is_step:
            return (None,)
        sequences = -(-batch // shape.replicas)
        usual = min(shape.stages, sequences)
        return (None, *(n for n in _powers(min(sequences, MOST_MICRO)) if n != usual))

    def stage_options(self, shape: ServiceShape, phase: Phase) -> int:
        """How many options are tried of what is in a stage; those of its pipeline multiply them."""
        return prod(map(len, self._inside(shape, phase)))

    def _inside(
        self, shape: ServiceShape, phase: Phase
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


DegreeRefusal = Callable[[str, int], str | None]
"""Takes a strategy under a batch to the code of the rule on degrees that refuses it, None where none does."""

EngineRefusal = Callable[[ServicePlan, int], str | None]
"""Takes one replica of a service under a batch to the code of the rule that refuses it, None where none does."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """What refuses strategies before they are priced.

    `of_degrees` asks the rules on degrees alone, each of which judges one degree, whatever the others are. `of_engine`
    asks every rule, those of the named engine among them; None where no engine is named.
    """

    of_degrees: DegreeRefusal
    of_engine: EngineRefusal | None


@dataclass(frozen=True, slots=True)
class Divisions:
    """Divisions of stages of one size and form that no degree refuses, and by code the options that others refuse."""

    legal: tuple[tuple[Degrees, int, Degrees], ...]
    """Attention, its dp inside cp, and experts."""
    refused: Counter[str]


class FamilyKey(NamedTuple):
    """What the strategies of a family have in common: replicas of stages, and the ranks of a stage, those of experts
    that are apart beside them.
    """

    replicas: int
    stages: int
    width: int
    form: PoolForm = PoolForm.SHARED
    beside: int = 0

    @property
    def gpus(self) -> int:
        """GPUs of each strategy."""
        pools = 1 if self.form is PoolForm.BESIDE_REPLICA else self.stages
        return self.replicas * (self.stages * self.width + pools * self.beside)


@dataclass(frozen=True, slots=True)
class StrategyFamily:
    """The shapes that no rule refuses whatever their options are, and by code of a rule the strategies of the rest."""

    key: FamilyKey
    shapes: tuple[ServiceShape, ...]
    refused: Counter[str]


class Families:
    """The families of one service under one batch, of the space's GPUs or of as many as are asked for."""

    def __init__(self, space: Space, refusals: Refusals, batch: int, phase: Phase = Phase.BOTH) -> None:
        self._space, self._refusals, self._batch, self._phase = space, refusals, batch, phase
        self._degree_code = cache(self._judge_degree)
        self._shape_code = cache(self._judge_shape)
        self._divisions = cache(self._divide)

    def shapes(self) -> Iterator[ServiceShape]:
        """The shapes of all families."""
        for family in self.families():
            yield from family.shapes

    def families(self, fewest: int | None = None, gpus: int | None = None) -> Iterator[StrategyFamily]:
        """The families that take so many GPUs, in place of the space's."""
        fewest, gpus = fewest or self._space.fewest, gpus or self._space.gpus
        has_pools = "attention-pools" in self._space.over and self._space.experts > 0
        for width in range(1, gpus + 1):
            yield from self._pipelines(PoolForm.SHARED, width, 0, fewest, gpus)
            for beside in range(1, gpus - width + 1) if has_pools else ():
                yield from self._pipelines(PoolForm.BESIDE_STAGE, width, beside, fewest, gpus)
                yield from self._pipelines(PoolForm.BESIDE_REPLICA, width, beside, fewest, gpus)

    def lets_pass(self, shape: ServiceShape) -> bool:
        """Whether no rule on degrees refuses a shape."""
        return self._degree_code(shape) is None

    def members(self, shape: ServiceShape) -> int:
        """Strategies of a shape."""
        pipeline = self._space.micro_batches(shape, self._phase, self._batch)
        return len(pipeline) * self._space.stage_options(shape, self._phase)

    def size(self, family: StrategyFamily) -> int:
        """Strategies of a family, those refused among them."""
        return sum(map(self.members, family.shapes)) + family.refused.total()

    def _pipelines(self, form: PoolForm, width: int, beside: int, fewest: int, gpus: int) -> Iterator[StrategyFamily]:
        """Stages and replicas of stages of `width` ranks, with `beside` ranks of experts; one stage has one form."""
        stages = 2 if form is PoolForm.BESIDE_REPLICA else 1
        while (one := FamilyKey(1, stages, width, form, beside).gpus) <= gpus:
            for replicas in range(max(1, -(-fewest // one)), gpus // one + 1):
                yield self._filled(FamilyKey(replicas, stages, width, form, beside))
            stages += 1

    def _filled(self, key: FamilyKey) -> StrategyFamily:
        replicas, stages, width, form, beside = key
        divisions = self._divisions(form, width, beside)
        outside = self._degree_code(ServiceShape(1, stages))
        outside = outside or self._degree_code(ServiceShape(replicas, 1))
        splits = (None,) if outside else self._space.splits(stages)
        pipeline = self._space.micro_batches(ServiceShape(replicas, stages, form=form), self._phase, self._batch)
        options = len(splits) * len(pipeline)
        refused = Counter({code: number * options for code, number in divisions.refused.items()})
        built: list[ServiceShape] = []
        for attention, inner, experts in divisions.legal:
            code = outside or self._shape_code(ServiceShape(1, stages, attention, experts, form, inner_dp=inner))
            shapes = [ServiceShape(replicas, stages, attention, experts, form, layers, inner) for layers in splits]
            if code is None:
                built += shapes
            else:
                refused[code] += sum(map(self.members, shapes))
        if outside:
            refused = Counter({outside: refused.total()})
        return StrategyFamily(key, tuple(built), refused)

    def _divide(self, form: PoolForm, width: int, beside: int) -> Divisions:
        legal: list[tuple[Degrees, int, Degrees]] = []
        refused: Counter[str] = Counter()
        for attention, inner in self._attentions(width):
            for experts in self._experts_of(attention, beside or width, is_filled=form is not PoolForm.SHARED):
                if not _can_be_written(ServiceShape(1, 1, attention, experts, form, inner_dp=inner)):
                    continue
                code = next(filter(None, map(self._degree_code, self._hosts(attention, experts))), None)
                if code is None:
                    legal.append((attention, inner, experts))
                else:
                    refused[code] += self._space.stage_options(ServiceShape(1, 1, attention, experts), self._phase)
        return Divisions(tuple(legal), refused)

    def _hosts(self, attention: Degrees, experts: Degrees) -> Iterator[ServiceShape]:
        """Shapes of the fewest degrees that have those of a division, with the options that may make a degree legal.

        An ep beside attention's tp, because `[shared replicated]` is an option of it; of a dense model the tp alone.
        """
        yield ServiceShape(1, 1, Degrees(cp=attention.cp))
        if self._space.experts:
            yield ServiceShape(1, 1, Degrees(dp=experts.ep, tp=attention.tp), Degrees(ep=experts.ep))
            yield ServiceShape(1, 1, Degrees(dp=experts.width), experts)
        else:
            yield ServiceShape(1, 1, Degrees(tp=attention.tp), Degrees(tp=attention.tp))

    def _attentions(self, width: int) -> Iterator[tuple[Degrees, int]]:
        """Divisions of so many ranks for attention, each with the part of its dp that is inside cp."""
        for tp in divisors(width):
            for cp in divisors(width // tp):
                dp = width // (tp * cp)
                inner = divisors(dp) if cp > 1 and "inner-dp" in self._space.over else (1,)
                yield from ((Degrees(tp=tp, cp=cp, dp=dp), one) for one in inner)

    def _experts_of(self, attention: Degrees, ranks: int, is_filled: bool) -> Iterator[Degrees]:
        """Divisions of so many ranks for experts; with `is_filled` nothing is left to copies. A dense model has one."""
        if not self._space.experts:
            yield Degrees(tp=attention.tp)
            return
        for tp in divisors(ranks):
            yield from (Degrees(ep=ep, tp=tp) for ep in divisors(ranks // tp) if not is_filled or ep * tp == ranks)

    def _judge_degree(self, shape: ServiceShape) -> str | None:
        """The rule on degrees that refuses a shape, with whatever options."""
        choices = self._space.stage_choices(shape, self._phase)
        texts = (spell(Candidate((ServicePlan(shape, options),), self._batch)) for options in choices)
        return _first_code(self._refusals.of_degrees(text, self._batch) for text in texts)

    def _judge_shape(self, shape: ServiceShape) -> str | None:
        """The rule that refuses a replica of a shape, with whatever options; None where it lets one of them pass."""
        refuse = self._refusals.of_engine
        if refuse is None:
            return None
        services = (ServicePlan(shape, one, self._phase) for one in self._space.stage_choices(shape, self._phase))
        return _first_code(refuse(service, self._batch) for service in services)


def _first_code(codes: Iterable[str | None]) -> str | None:
    """The first of the codes; None where one of those asked was let pass."""
    first: str | None = None
    for code in codes:
        if code is None:
            return None
        first = first or code
    return first


def _can_be_written(shape: ServiceShape) -> bool:
    """Whether attention's dp is in one place of the text: an outer one beside an inner one has to be implied."""
    attention, experts = shape.attention, shape.experts
    if shape.outer_dp == 1 or shape.inner_dp == 1:
        return True
    is_folded = shape.form is PoolForm.SHARED and (experts.ep > 1 or experts.tp != attention.tp)
    return is_folded and lcm(attention.width // shape.outer_dp, experts.width) == attention.width


@cache
def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    return tuple(one for one in range(1, number + 1) if number % one == 0)


def well_known(gpus: int, node: int, *, has_experts: bool) -> tuple[tuple[str, str], ...]:
    """Names and strategies that take all the GPUs, in nodes of so many."""
    nodes = gpus // node
    found = {"tensor parallelism on all GPUs": f"tp {gpus}"}
    if has_experts:
        found["expert parallelism on all GPUs"] = f"ep {gpus}"
        if gpus % 4 == 0:
            found["expert parallelism on all GPUs, attention tp 4"] = f"ep {gpus} ; tp 4"
    if nodes > 1 and nodes * node == gpus:
        found["tp within a node, pp across nodes"] = f"pp {nodes} < tp {node} >"
        found["tp within a node, dp across nodes"] = f"dp {nodes} < tp {node} >"
        if has_experts:
            found["ep within a node, pp across nodes"] = f"pp {nodes} < ep {node} >"
            found["ep within a node, dp across nodes"] = f"dp {nodes} < ep {node} >"
    return tuple(found.items())
