"""A priced template as tasks: what the executor needs of each node, resolved once. It knows no times."""

from __future__ import annotations

from collections.abc import Sequence
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

    @property
    def deps(self) -> tuple[int, ...]:
        """The values it waits for."""
        return self.form.deps

    @property
    def links(self) -> tuple[int, ...]:
        """The sends that it meets."""
        return self.form.links


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
    def occupied(self) -> dict[int, tuple[Time, Time]]:
        """Time by lane that is occupied in each copy, by what takes as long in all, and in all of them by the rest."""
        found: dict[int, tuple[Time, Time]] = dict.fromkeys(self.form.lanes, (0, 0))
        for task in self.tasks:
            (each, whole), duration = found[task.form.lane], task.duration
            if duration.ndim > 1:
                whole = whole + duration.sum(axis=0)
            else:
                each = each + (int(duration.item()) if duration.size == 1 else duration)
            found[task.form.lane] = each, whole
        return found


def template_tasks(template: Template, costs: Sequence[NodeCost]) -> Tasks:
    """The tasks of a template in program order, forward in time."""
    form = form_of(template)
    nodes = zip(form.tasks, template.nodes, costs, strict=True)
    return Tasks(form, tuple([Task(task, cost.duration, _members(task, node)) for task, node, cost in nodes]))


def mirror(forward: Tasks) -> Tasks:
    """The same tasks with time reversed."""
    form = forms.mirror(forward.form)
    found = [forward.tasks[task.node] for task in form.tasks]
    tasks = [Task(task, one.duration, one.members) for task, one in zip(form.tasks, found, strict=True)]
    return Tasks(form, tuple(tasks))


def _members(task: TaskForm, node: Node) -> Ranks | None:
    return None if task.is_alone or node.communication is None else node.communication.groups.members
