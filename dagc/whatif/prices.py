"""One strategy's figures by a quantity of the workload, each point priced when it is first asked for, and kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from dagc.plan.plan import Plan
from dagc.plan.serving import entering
from dagc.report import whatif as out
from dagc.report.figures import FigureKind
from dagc.report.structure import strategy_text
from dagc.whatif.answer import Answer, Pricing, RefusedPlan
from dagc.whatif.parameter import ParameterKind
from dagc.whatif.workload import with_requests


@dataclass(frozen=True, slots=True)
class PriceQuery:
    """The quantity that is varied, from `low` to `high`, and the figures that are looked at."""

    over: str
    low: int
    high: int
    metrics: tuple[FigureKind, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Figures by name, and whether memory suffices."""

    values: dict[str, float | None]
    fits: bool | None


@dataclass(frozen=True, slots=True)
class Prices:
    """The figures of a plan by point; `known` grows as points are asked for."""

    plan: Plan
    question: PriceQuery
    pricing: Pricing
    known: dict[int, Point | RefusedPlan] = field(default_factory=dict[int, "Point | RefusedPlan"])

    def at(self, quantity: int) -> Point | RefusedPlan:
        """The plan with so many sequences or tokens."""
        if quantity not in self.known:
            answer = self.pricing.price(with_requests(self.plan, self.question.over, quantity))
            self.known[quantity] = self._point(answer) if isinstance(answer, Answer) else answer
        return self.known[quantity]

    def value(self, kind: FigureKind, quantity: int) -> float | None:
        """One figure there; None where the plan is refused or the figure undetermined."""
        point = self.at(quantity)
        return point.values[kind.name] if isinstance(point, Point) else None

    def tokens(self, kind: FigureKind, quantity: int) -> int:
        """Tokens that enter the layers at once: of all prompts for TTFT, else of a decode step."""
        plan = with_requests(self.plan, self.question.over, quantity)
        if kind.name == "ttft":
            load = entering(plan).facts.workload
            return load.batch * load.fresh
        return plan.facts.workload.batch * (1 + plan.facts.workload.drafted)

    def side(self) -> out.Side:
        """What is known of the plan over all points."""
        points = {quantity: self.known[quantity] for quantity in sorted(self.known)}
        full = (q for q, point in points.items() if isinstance(point, Point) and point.fits is False)
        refused: dict[str, out.Refusal] = {}
        for quantity, point in points.items():
            if isinstance(point, RefusedPlan):
                refused.setdefault(point.problem.code.code, self._refusal(quantity, point))
        deployment = self.plan.deployment
        return out.Side(
            strategy=strategy_text(deployment),
            gpus=deployment.gpus,
            full_from=next(full, None),
            refusals=list(refused.values()),
        )

    def _point(self, answer: Answer) -> Point:
        values = {kind.name: kind.read(answer.plan, answer.found) for kind in self.question.metrics}
        return Point(values, answer.fits)

    def _refusal(self, quantity: int, refused: RefusedPlan) -> out.Refusal:
        return out.Refusal(
            parameter=self.question.over,
            title=self.question.over,
            kind=ParameterKind.WORKLOAD.value,
            change=f"{quantity:,}",
            code=refused.problem.code.code,
            reason=refused.problem.message,
        )
