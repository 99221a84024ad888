"""Every shape that a space has; what members of a family differ in is options only.

Shapes are built from divisors, so each is well-typed and has its GPUs, and the same meaning is built once. A degree
that a rule refuses wherever it stands (a tp that does not divide the heads) is refused for all shapes that have it:
these are counted by multiplication, not built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import lcm

from dagc.plan.deployment import Phase
from dagc.search.candidate import Attention, Candidate, Experts, Form, ServicePlan, Shape
from dagc.search.space import Space
from dagc.search.spelling import spell

Refusal = Callable[[str], str | None]
"""Takes a strategy to the code of the rule on degrees that refuses it, None where none does."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """How stages of one size and form can be cut: what no rule refuses, and by code how many options fall with it."""

    legal: tuple[tuple[Attention, Experts], ...]
    refused: Counter[str]


class Families:
    """The shapes of one service under one batch. `refused` counts strategies by the rule that refuses their degrees."""

    def __init__(self, space: Space, refusal: Refusal, batch: int, phase: Phase = Phase.BOTH) -> None:
        self.refused: Counter[str] = Counter()
        self.generated = 0
        self._space, self._refusal, self._batch, self._phase = space, refusal, batch, phase
        self._code = cache(self._judged)
        self._cuts = cache(self._cut)

    def shapes(self) -> Iterator[Shape]:
        """The shapes that no rule refuses for one of their degrees alone."""
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
        outside = self._code(Shape(1, stages, Attention(), self._plain(1)))
        outside = outside or self._code(Shape(replicas, 1, Attention(), self._plain(1)))
        splits = (None,) if outside else self._space.splits(stages)
        options = len(splits) * len(self._space.micro_batches(stages, replicas, self._batch))
        refused = Counter({code: number * options for code, number in cuts.refused.items()})
        built = [Shape(replicas, stages, a, e, form, layers) for a, e in cuts.legal for layers in splits]
        number = sum(map(self.members, built))
        if outside:
            refused = Counter({outside: number + refused.total()})
        self.refused += refused
        self.generated += number if outside is None else 0
        self.generated += refused.total()
        yield from () if outside else built

    def _cut(self, form: Form, width: int, beside: int) -> Cuts:
        legal: list[tuple[Attention, Experts]] = []
        refused: Counter[str] = Counter()
        for attention in self._attentions(width):
            tensor = self._code(Shape(1, 1, Attention(tp=attention.tp), self._plain(attention.tp)))
            tensor = tensor or self._code(Shape(1, 1, Attention(cp=attention.cp), self._plain(1)))
            for experts in self._experts_of(attention, beside or width, is_filled=form is not Form.SHARED):
                code = tensor or self._code(Shape(1, 1, Attention(outer=experts.size), experts))
                if not _can_be_written(attention, experts, form):
                    continue
                if code is None:
                    legal.append((attention, experts))
                else:
                    refused[code] += self._space.stage_options(Shape(1, 1, attention, experts), self._phase)
        return Cuts(tuple(legal), refused)

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

    def _judged(self, shape: Shape) -> str | None:
        """The rule that refuses a shape with whatever options; its degrees stand in it alone."""
        first: str | None = None
        for options in self._space.options(shape, self._phase, self._batch):
            code = self._refusal(spell(Candidate((ServicePlan(shape, options),), self._batch)))
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
