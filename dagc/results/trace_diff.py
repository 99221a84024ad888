"""A profile of an engine beside a plan: which operators of a layer explain the difference between the two."""

from __future__ import annotations

from dagc.results.record import Versioned, record


@record
class OperatorDifference:
    """An operator, or some that are one kernel, in seconds of a layer. `share` is of the sizes of all differences.

    `kernels` are the names of its kernels in the trace.
    """

    key: str
    work: str
    predicted_seconds: float
    measured_seconds: float
    difference_seconds: float
    share: float
    kernels: list[str]


@record
class LoneKernel:
    """Kernels of one name in a layer that are no operator of the graph."""

    name: str
    kind: str
    count: float
    seconds: float
    share: float


@record
class LoneOperator:
    """An operator of the graph that is no kernel of the trace."""

    key: str
    predicted_seconds: float
    share: float


@record
class TraceDiff(Versioned):
    """Mean over `layers` of a trace against a layer of the plan; `covered` is the share of kernel time in these.

    `layer` is the kind of layer of the graph, of which `unit` in a row were compared. Operators by the size of the
    difference, kernels by time. `work` sums up differences by kind of work.
    """

    plan: str
    phase: str
    layer: str
    unit: int
    layers: int
    covered: float
    predicted_seconds: float
    measured_seconds: float
    operators: list[OperatorDifference]
    work: dict[str, float]
    lone_kernels: list[LoneKernel]
    lone_operators: list[LoneOperator]
