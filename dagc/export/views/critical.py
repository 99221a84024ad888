"""What a picture marks: the critical path where it distinguishes parts, else the slowest stage.

Where nothing overlaps nearly everything is on the critical path, and red everywhere says nothing. Then a line above the
picture says so, and the slowest stage of each phase is marked in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dagc.export.view_model import StageView
from dagc.export.views.strategy import Served, StrategyView, experts_anchor
from dagc.export.views.view import Box, BoxShape, Cluster, Distance, View
from dagc.export.views.work import stage_work
from dagc.schedule.timeline import Timeline

NEARLY_ALL = 0.8
"""Share of what is drawn from which the critical path is not marked."""

_ALIKE = 0.01
"""Stages of which the slowest takes at most so much longer than the fastest are equally slow."""


@dataclass(frozen=True, slots=True)
class Slowest:
    """The slowest stage of a service in a phase: -1 for the pool of experts that serves all stages.

    `alike` where no stage is slower than another.
    """

    served: Served
    phase: str
    stage: int
    alike: bool

    @property
    def title(self) -> str:
        """Its name in the picture."""
        return "experts of all stages" if self.stage < 0 else self._view.title.partition(",")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The card or frame of the stage, and the card of its experts where they have a pool."""
        anchor = self.served.stage_anchor(self._view.teams[0].stage)
        return (experts_anchor(anchor),) if self.stage < 0 else (anchor, experts_anchor(anchor))

    @property
    def _view(self) -> StageView:
        """The stage, or the stages that are drawn as one with it."""
        views = self.served.view.stages
        return next((v for v in reversed(views) if v.teams[0].stage <= self.stage), views[0])


def nearly_all(critical: Sequence[bool]) -> bool:
    """Whether so much is on the critical path that marking it would say nothing."""
    return len(critical) > 0 and sum(critical) >= NEARLY_ALL * len(critical)


def slowest_stage(timeline: Timeline, shares_experts: bool) -> tuple[int, bool]:
    """The stage whose work for one micro-batch takes longest on one of its pools, and whether all take as long.

    Experts that serve all stages have the work of all of them: -1 where that is longest.
    """
    programs = timeline.priced.graph.programs[0]
    picoseconds = [
        [stage_work(timeline, stage, team).picoseconds for team in range(len(program.teams))]
        for stage, program in enumerate(programs)
    ]
    stages = [teams[0] if shares_experts else max(teams) for teams in picoseconds]
    shared = sum(teams[-1] for teams in picoseconds) if shares_experts else 0
    if shared > (1 + _ALIKE) * max(stages):
        return -1, False
    return stages.index(max(stages)), max(stages) <= (1 + _ALIKE) * min(stages)


def marked(view: View, strategy: StrategyView) -> View:
    """The view with its critical path, or with its slowest stages and a line that says why."""
    boxes = [box for box in view.boxes() if box.shape is not BoxShape.TABLE]
    if not nearly_all([box.critical for box in boxes]):
        return view
    found = slowest_of(strategy) if view.distance in _STAGES else ()
    slow = [one for one in found if not one.alike]
    names = frozenset(name for one in slow for name in one.names)
    note = share_text([box.critical for box in boxes], _THINGS[view.distance])
    drawn = {member.name for member in (*view.boxes(), *view.clusters())}
    here = [one for one in slow if drawn.intersection(one.names)]
    elsewhere = [one for one in slow if one not in here]
    note += f"; marked instead: {slowest_text(here)}" if here else ""
    note += f"; marked in the deployment view: {slowest_text(elsewhere)}" if elsewhere else ""
    note += "; stages are all equally slow" if found and not slow else ""
    return replace(
        view,
        members=tuple(_settled(member, names) for member in view.members),
        arrows=tuple(replace(arrow, critical=False) for arrow in view.arrows),
        notes=(*view.notes, *((note,) if len(boxes) > 1 and view.distance is not Distance.RANK else ())),
    )


_STAGES = (Distance.DEPLOYMENT, Distance.STAGE)
_THINGS = {
    Distance.DEPLOYMENT: "stage",
    Distance.STAGE: "part",
    Distance.LAYER: "operator",
    Distance.RANK: "operator",
}
"""What the boxes of a view are. The rank view has two operators, dispatch and combine, and needs no line on them."""


def share_text(critical: Sequence[bool], thing: str) -> str:
    """`every stage is on the critical path`, or how many of them."""
    if all(critical):
        return f"every {thing} is on the critical path"
    return f"{sum(critical)} of {len(critical)} {thing}s are on the critical path"


def slowest_of(strategy: StrategyView) -> tuple[Slowest, ...]:
    """By service and phase, of services with more than one stage."""
    return tuple(
        Slowest(served, phase, *slowest_stage(timeline, _shares_experts(served)))
        for served in strategy.served
        if served.service.stages > 1
        for phase, timeline in served.phases
    )


def _shares_experts(served: Served) -> bool:
    pools = served.service.pools
    return len(pools) > 1 and pools[-1].stages == 1


def slowest_text(slow: Iterable[Slowest]) -> str:
    """`slowest in prefill: stages 1–2; slowest in decode: stage 3`, the phases together where it is one stage."""
    found: dict[str, list[str]] = {}
    for one in slow:
        found.setdefault(one.title, []).append(one.phase)
    return ", ".join(f"{title} (slowest in {' and '.join(phases)})" for title, phases in found.items())


def _settled(member: Box | Cluster, names: frozenset[str]) -> Box | Cluster:
    slowest = member.name in names
    if isinstance(member, Box):
        return replace(member, critical=False, slowest=slowest)
    return replace(member, members=tuple(_settled(one, names) for one in member.members), slowest=slowest)
