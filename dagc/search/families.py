"""Every shape of a space; members of a family differ in options only.

Shapes are built from divisors, so each is well-typed and has its GPUs, and the same meaning is built once. Two kinds of
refusal leave shapes out, and both are counted. A rule on degrees refuses a degree (a tp that does not divide the heads)
in every plan that has it, so its strategies are counted by multiplication, not built. A rule of an engine refuses two
cuts together, so it is asked of each shape as a whole, and one degree's refusal is never taken from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import lcm

from dagc.plan.deployment import Phase
from dagc.search.candidate import Attention, Candidate, Experts, Form, ServicePlan, Shape
from dagc.search.space import Space
from dagc.search.spelling import spell

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
class Cuts:
    """How stages of one size and form can be cut: what no degree refuses, and by code the options that fall with it."""

    legal: tuple[tuple[Attention, Experts], ...]
    refused: Counter[str]


class Families:
    """The shapes of one service under one batch. `refused` counts strategies by the rule that refuses them."""

    def __init__(self, space: Space, refusals: Refusals, batch: int, phase: Phase = Phase.BOTH) -> None:
        self.refused: Counter[str] = Counter()
        self.generated = 0
        self._space, self._refusals, self._batch, self._phase = space, refusals, batch, phase
        self._degree_code = cache(self._judge_degree)
        self._shape_code = cache(self._judge_shape)
        self._cuts = cache(self._cut)

    def shapes(self) -> Iterator[Shape]:
        """The shapes that no rule refuses whatever their options are."""
        gpus, has_pools = self._space.gpus, "attention-pools" in self._space.over and self._space.experts > 0
        for width in range(1, gpus + 1):
            yield from self._pipelines(Form.SHARED, width, 0)
            for beside in range(1, gpus - width + 1) if has_pools else ():
                yield from self._pipelines(Form.BESIDE_STAGE, width, beside)
                yield from self._pipelines(Form.BESIDE_REPLICA, width, beside)

    def members(self, shape: Shape) -> int:
        """Strategies of a shape."""
        pipeline = self._space.micro_batches(shape.stages, shape.replicas, self._batch)
        return len(pipeline) * self._space.stage_options(shape, self._phase)

    def _pipelines(self, form: Form, width: int, beside: int) -> Iterator[Shape]:
        """Stages and replicas of stages of `width` ranks, with `beside` ranks of experts; one stage has one form."""
        stages = 2 if form is Form.BESIDE_REPLICA else 1
        while (gpus := Shape(1, stages, Attention(outer=width), Experts(beside), form).gpus) <= self._space.gpus:
            for replicas in range(1, self._space.gpus // gpus + 1):
                yield from self._filled(form, width, beside, stages, replicas)
            stages += 1

    def _filled(self, form: Form, width: int, beside: int, stages: int, replicas: int) -> Iterator[Shape]:
        cuts = self._cuts(form, width, beside)
        outside = self._degree_code(Shape(1, stages, Attention(), self._plain(1)))
        outside = outside or self._degree_code(Shape(replicas, 1, Attention(), self._plain(1)))
        splits = (None,) if outside else self._space.splits(stages)
        options = len(splits) * len(self._space.micro_batches(stages, replicas, self._batch))
        refused = Counter({code: number * options for code, number in cuts.refused.items()})
        built: list[Shape] = []
        for attention, experts in cuts.legal:
            code = outside or self._shape_code(form, stages, attention, experts)
            shapes = [Shape(replicas, stages, attention, experts, form, layers) for layers in splits]
            if code is None:
                built += shapes
                self.generated += sum(map(self.members, shapes))
            else:
                refused[code] += sum(map(self.members, shapes))
        if outside:
            refused = Counter({outside: refused.total()})
        self.refused += refused
        self.generated += refused.total()
        yield from built

    def _cut(self, form: Form, width: int, beside: int) -> Cuts:
        legal: list[tuple[Attention, Experts]] = []
        refused: Counter[str] = Counter()
        for attention in self._attentions(width):
            for experts in self._experts_of(attention, beside or width, is_filled=form is not Form.SHARED):
                if not _can_be_written(attention, experts, form):
                    continue
                code = next(filter(None, map(self._degree_code, self._hosts(attention, experts))), None)
                if code is None:
                    legal.append((attention, experts))
                else:
                    refused[code] += self._space.stage_options(Shape(1, 1, attention, experts), self._phase)
        return Cuts(tuple(legal), refused)

    def _hosts(self, attention: Attention, experts: Experts) -> Iterator[Shape]:
        """Shapes of the fewest degrees that have those of a cut, with the options that may make a degree legal.

        An ep beside attention's tp, because `[shared replicated]` is an option of it; of a dense model the tp alone.
        """
        yield Shape(1, 1, Attention(cp=attention.cp), self._plain(1))
        if self._space.experts:
            yield Shape(1, 1, Attention(outer=experts.ep, tp=attention.tp), Experts(experts.ep))
            yield Shape(1, 1, Attention(outer=experts.size), experts)
        else:
            yield Shape(1, 1, Attention(tp=attention.tp), self._plain(attention.tp))

    def _plain(self, tp: int) -> Experts:
        """Experts that add no rule of their own: whole on each rank, or cut as a dense model is."""
        return Experts() if self._space.experts else Experts(tp=tp)

    def _attentions(self, width: int) -> Iterator[Attention]:
        for tp in divisors(width):
            for cp in divisors(width // tp):
                dp = width // (tp * cp)
                inner = divisors(dp) if cp > 1 and "inner-dp" in self._space.over else (1,)
                yield from (Attention(dp // one, cp, one, tp) for one in inner)

    def _experts_of(self, attention: Attention, ranks: int, is_filled: bool) -> Iterator[Experts]:
        """Cuts of experts over so many ranks; with `is_filled` nothing is left to copies. A dense model has one."""
        if not self._space.experts:
            yield Experts(tp=attention.tp)
            return
        for tp in divisors(ranks):
            yield from (Experts(ep, tp) for ep in divisors(ranks // tp) if not is_filled or ep * tp == ranks)

    def _judge_degree(self, shape: Shape) -> str | None:
        """The rule on degrees that refuses a shape, with whatever options."""
        choices = self._space.stage_choices(shape, self._phase)
        texts = (spell(Candidate((ServicePlan(shape, options),), self._batch)) for options in choices)
        return _first_code(self._refusals.of_degrees(text, self._batch) for text in texts)

    def _judge_shape(self, form: Form, stages: int, attention: Attention, experts: Experts) -> str | None:
        """The rule that refuses stages cut so, with whatever options; None where it lets one of them pass."""
        if self._refusals.of_engine is None:
            return None
        shape, refuse = Shape(1, stages, attention, experts, form), self._refusals.of_engine
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


def _can_be_written(attention: Attention, experts: Experts, form: Form) -> bool:
    """Whether attention's dp stands in one place of the text: an outer one beside an inner one has to be implied."""
    if attention.outer == 1 or attention.inner == 1:
        return True
    is_folded = form is Form.SHARED and (experts.ep > 1 or experts.tp != attention.tp)
    return is_folded and lcm(attention.size // attention.outer, experts.size) == attention.size


@cache
def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    return tuple(one for one in range(1, number + 1) if number % one == 0)
