"""What an engine makes of degrees or flags: the sizes, the GPUs, the arithmetic in words, or why it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dagc.degrees import Parallelism

Settings = Mapping[str, int]
"""An engine's own settings by short name: a degree, or 1 for a switch that is on. What is absent is at its default."""


@dataclass(frozen=True, slots=True)
class Counted:
    """`sizes` and `world` (GPUs) are None exactly where `refusal` says why the engine would not start."""

    sizes: Parallelism | None
    world: int | None
    steps: tuple[str, ...]
    refusal: str | None


def counted(sizes: Parallelism, *steps: str) -> Counted:
    """An answer, with its arithmetic."""
    return Counted(sizes, sizes.gpus, steps, None)


def refused(reason: str, *steps: str) -> Counted:
    """No answer, and why."""
    return Counted(None, None, steps, reason)
