"""The memory of a plan's strategies by itself, without graphs or times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dagc.report.summary import Memory


@dataclass(frozen=True, slots=True)
class Weighed:
    """The memory of one strategy, as in its summary; None where shapes are `missing`. `context` is what it holds in."""

    name: str
    memory: Memory | None
    missing: tuple[str, ...]
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """The memory of every strategy of a plan that has a meaning, and the diagnostics of the plan."""

    diagnostics: tuple[Diagnostic, ...]
    strategies: tuple[Weighed, ...]
