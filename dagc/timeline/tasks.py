"""A priced template as tasks: what the executor needs of each node, resolved once. It knows no times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dagc.graph.graph import Node, Template
from dagc.graph.priced import NodeCost, Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline import form as forms
from dagc.timeline.form import Form, TaskForm, form_of
from dagc.timeline.times import Time


class Task(NamedTuple):
    """A node's form, its duration, with a row for each copy where copies differ, and the members of its groups.

    `members` has shape (groups, size) and is None where a rank waits for no other.
    """

    form: TaskForm
    duration: Picoseconds
    members: Ranks | None
    is_memory_bound: bool

    @property
    def deps(self) -> tuple[int, ...]:
        """The values it waits for."""
        return self.form.deps

    @property
    def links(self) -> tuple[int, ...]:
        """The sends that it meets."""
        return self.form.links


Occupied = dict[int, tuple[Time, Time]]
"""Time by lane: in each copy, of what takes as long in all of them, and in all copies together, of the rest."""


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks in the order of their form."""

    form: Form
    tasks: tuple[Task, ...]

    @property
    def streams(self) -> int:
        """Streams; their values stand before those of the nodes."""
        return self.form.streams

    @property
    def teams(self) -> tuple[int, ...]:
        """The program-local team of each value."""
        return self.form.teams

    @cached_property
    def occupied(self) -> Occupied:
        """Time by lane that is occupied."""
        return _occupied(self.form.lanes, self.tasks)

    @cached_property
    def memory_bound(self) -> Occupied:
        """The part of it in which the memory binds."""
        return _occupied(self.form.lanes, [task for task in self.tasks if task.is_memory_bound])


def template_tasks(template: Template, costs: Sequence[NodeCost]) -> Tasks:
    """The tasks of a template in program order, forward in time."""
    form = form_of(template)
    nodes = zip(form.tasks, template.nodes, costs, strict=True)
    return Tasks(form, tuple([_task(task, node, cost) for task, node, cost in nodes]))


def mirror(forward: Tasks) -> Tasks:
    """The same tasks with time reversed."""
    form = forms.mirror(forward.form)
    found = [forward.tasks[task.node] for task in form.tasks]
    return Tasks(form, tuple([one._replace(form=task) for task, one in zip(form.tasks, found, strict=True)]))


def _task(task: TaskForm, node: Node, cost: NodeCost) -> Task:
    return Task(task, cost.duration, _members(task, node), cost.by_traffic)


def _occupied(lanes: Sequence[int], tasks: Iterable[Task]) -> Occupied:
    found: Occupied = dict.fromkeys(lanes, (0, 0))
    for task in tasks:
        (each, whole), duration = found[task.form.lane], task.duration
        if duration.ndim > 1:
            whole = whole + _time(duration.sum(axis=0))
        else:
            each = each + _time(duration)
        found[task.form.lane] = each, whole
    return found


def _time(duration: Picoseconds) -> Time:
    return int(duration.item()) if duration.size == 1 else duration


def _members(task: TaskForm, node: Node) -> Ranks | None:
    return None if task.is_alone or node.communication is None else node.communication.groups.members
