"""What the figure called TTFT is: that of a static batch, or that of a request to an idle server.

Where requests come and go (`concurrency`, `rate`), TTFT is computed for a request that finds the deployment idle: it
waits for nobody. Under load a request waits for places and for other prompts, which is not simulated, so that the
figure is a lower bound of what was asked for. It decides that a ceiling is missed, never that anything is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from dagc.plan.workload import Workload
from dagc.report.assessment import Actual

Definition = Literal["batch", "idle server"]
"""`batch`: until the slowest request of a static batch has its first token. `idle server`: of a lone request."""

_TITLES: dict[Definition, str] = {"batch": "TTFT", "idle server": "idle-server TTFT"}
_CEILINGS = ("<", "<=", "=")


def definition(workload: Workload) -> Definition:
    """What TTFT is under a workload."""
    return "batch" if workload.concurrency is None else "idle server"


def title_of(one: Definition) -> str:
    """The name of the figure wherever a person reads it."""
    return _TITLES[one]


def common_title(definitions: Iterable[Definition]) -> str:
    """The name of the figure of several plans: both names where their definitions differ."""
    return " or ".join(dict.fromkeys(map(title_of, definitions)))


def decided(actual: Actual, comparison: str, ok: bool | None, stated: float) -> tuple[Actual, bool | None]:
    """What a figure and its verdict come to: a lower bound decides that a ceiling is missed, and nothing else."""
    if not actual.is_lower_bound or actual.value is None:
        return actual, ok
    if ok is False and comparison in _CEILINGS and actual.value > stated:
        return replace(actual, text=f"at least {actual.text}"), False
    return replace(actual, value=None, text=None, reason=actual.unless_missed), None
