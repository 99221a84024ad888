"""A priced phase becomes a timeline: starts, makespan, steady-state interval, critical path, slack, shares.

Runs the blocks of the first step (all of a prefill) and keeps their times as runs; a decode step is then repeated,
without keeping times, until all that the next step depends on has shifted by one constant. Nothing here grows with
the number of slots: copies past the first few of a segment are a multiplication.

Assumes a verified graph and durations that are equal within each group of a collective. It prices nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import Costs, Picoseconds, PricedPhase
from dagc.ops.op import Lane
from dagc.timeline.components import components
from dagc.timeline.critical import critical_path
from dagc.timeline.execute import Executed, Executor
from dagc.timeline.follow import Follow
from dagc.timeline.form import LANES
from dagc.timeline.history import History
from dagc.timeline.lazy import Runs, Slack
from dagc.timeline.occupied import occupied
from dagc.timeline.order import periods_of_first_step, repeats, shares_a_team
from dagc.timeline.ran import Listed, Ran
from dagc.timeline.replay import Replay
from dagc.timeline.shares import phase_shares
from dagc.timeline.spent import Spent
from dagc.timeline.steady import Steady, settle
from dagc.timeline.steps import Group, Steps, all_steps
from dagc.timeline.tasks import Tasks, template_tasks
from dagc.timeline.timeline import Timeline
from dagc.timeline.times import Time


@dataclass(slots=True)
class KnownSteps:
    """Tasks and steps of templates that were scheduled before; held with the costs, by which they are known.

    `groups` are those of their collectives, by who the members are.
    """

    found: dict[int, tuple[Costs, Tasks, Steps]] = field(default_factory=dict[int, "tuple[Costs, Tasks, Steps]"])
    groups: dict[int, Group] = field(default_factory=dict[int, Group])

    def of(self, priced: PricedPhase) -> tuple[tuple[Tasks, ...], tuple[Steps, ...]]:
        """Tasks and steps of each template of a phase."""
        missing = [index for index, costs in enumerate(priced.costs) if id(costs) not in self.found]
        tasks = [template_tasks(priced.graph.templates[index], priced.costs[index]) for index in missing]
        for index, one, steps in zip(missing, tasks, all_steps(tasks, self.groups), strict=True):
            self.found[id(priced.costs[index])] = priced.costs[index], one, steps
        found = [self.found[id(costs)] for costs in priced.costs]
        return tuple(one for _, one, _ in found), tuple(steps for _, _, steps in found)


def schedule(priced: PricedPhase, known: KnownSteps | None = None) -> Timeline:
    """The timeline of one phase. Linear in nodes x segments x micro-batches x stages (x ranks where uneven).

    `known` are steps of phases that share costs with this one.
    """
    graph = priced.graph
    tasks, steps = (known or KnownSteps()).of(priced)
    executor = Executor(steps, components(graph, steps), len(graph.teams), len(graph.programs[0]))
    replay = _replay(executor, graph)
    first, after = _first_step(replay, graph)
    history = History(graph, tasks, first)
    path = critical_path(history)
    steady = settle(replay, graph) if repeats(graph) else Steady(history.makespan, (history.executed,))
    times = occupied(graph, tasks)
    return Timeline(
        priced=priced,
        runs=Runs(history.executed),
        makespan=history.makespan,
        interval=steady.interval,
        path=path,
        shares=phase_shares(history, path, times, steady),
        slack=Slack(history),
        busy=_by_lane(times),
        later=Runs(after, *steady.soonest),
        spent=Spent(priced.costs, path, steady.window, steady.interval),
    )


def _replay(executor: Executor, graph: PhaseGraph) -> Replay | Follow:
    """What runs the turns of a phase."""
    once = len(graph.micro_batches) == 1 and not repeats(graph)
    if once or executor.stages == 1 or shares_a_team(graph):
        return Replay(executor, graph, once=once)
    follow = Follow(executor, graph)
    return follow if follow.able() else Replay(executor, graph)


def _first_step(replay: Replay | Follow, graph: PhaseGraph) -> tuple[Ran, Ran]:
    """What ran until the last of step 0 had, and what ran after it in the periods that step 0 is in."""
    periods: list[Ran] = []
    for period in range(periods_of_first_step(graph)):
        periods.append(replay.period(period))
        replay.executor.finish(period)
    if len(periods) == 1:
        return periods[0], Listed(())
    blocks = [block for period in periods for block in period.blocks]
    last = max([number for number, block in enumerate(blocks, 1) if _has_first_step(block)], default=0)
    return Listed(blocks[:last]), Listed(blocks[last:])


def _has_first_step(block: Sequence[Executed]) -> bool:
    return any(executed.member.step == 0 for executed in block)


def _by_lane(times: Sequence[Time]) -> dict[tuple[int, Lane], Picoseconds]:
    """Occupied time of each lane, by team and lane."""
    keys = [(number // 2, LANES[number % 2]) for number in range(len(times))]
    return {key: np.array([time]) if isinstance(time, int) else time for key, time in zip(keys, times, strict=True)}
