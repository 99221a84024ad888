"""What every operator has: a name, a title, a lane, its kind in pictures, and its work by rank.

An operator is a frozen dataclass of its own parameters (rows, widths, heads, types …), from which FLOPs, bytes and the
inputs of its formula follow. Nothing else of the program knows how.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from typing import ClassVar, Self, cast

import numpy as np

from dagc.catalog.calibration import Work
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.part import Part
from dagc.ops.groups import Groups
from dagc.ops.lazy import lazy
from dagc.ops.load import NOTHING, Load, load_content


class Category(StrEnum):
    """What a picture tells apart: computation, communication, routing and aggregation."""

    COMPUTE = "compute"
    COMMUNICATION = "communication"
    ROUTING = "routing"


class Lane(StrEnum):
    """The resource of a rank that a node occupies; a lane runs one node at a time, in program order."""

    COMPUTE = "compute"
    COMMUNICATION = "communication"


class OpKind(StrEnum):
    """What an operator is part of, or how it communicates: a tone each in the page."""

    ATTENTION = "attention"
    EXPERTS = "experts"
    OTHER = "other computation"
    ROUTING = "routing"
    EXCHANGE = "dispatch and combine"
    COLLECTIVE = "other collectives"
    TRANSFER = "send and receive"


def kind_of_part(part: Part) -> OpKind:
    """The kind of a computation of a part of the model."""
    return {Part.ATTENTION: OpKind.ATTENTION, Part.EXPERTS: OpKind.EXPERTS}.get(part, OpKind.OTHER)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the plan says beyond the operator: device, type of activations, and the engine's kernels.

    `tunes_expert_shards`: the kernel for experts has tuned tiles on ranks that hold a part of the experts.
    """

    device: DeviceSpec
    activation: Dtype
    tunes_expert_shards: bool = True


Sizes = tuple[tuple[str, float], ...]
"""Inputs of a formula that all ranks share, by name."""


@dataclass(frozen=True, eq=False)
class Op:
    """An operator with its parameters, those by rank as `Load`.

    `title` is what a person reads. `work` is the kind that a factor of a calibration may hold for. `keeps` are the
    letters of the dimensions that the output has in the size of the inputs, where both have them. It is no `ABC`, whose
    `isinstance` takes ten times as long.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    category: ClassVar[Category] = Category.COMPUTE
    lane: ClassVar[Lane] = Lane.COMPUTE
    keeps: ClassVar[str] = ""
    family: ClassVar[OpKind] = OpKind.OTHER
    work: ClassVar[Work] = Work.ELEMENTWISE

    @property
    def kind(self) -> OpKind:
        """Its kind in the page."""
        return self.family

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """What a person wants to see of it, on the fullest rank, e.g. (("m", 4096), ("n", 2048), ("k", 7168))."""
        return ()

    @lazy
    def flops(self) -> Load:
        """Arithmetic by rank; a multiplication with its addition counts as 2."""
        return NOTHING

    @lazy
    def memory_bytes(self) -> Load:
        """HBM traffic by rank."""
        return NOTHING

    @lazy
    def content(self) -> tuple[object, ...] | None:
        """All parameters as a key of a cache; None where a load has more than `WIDE` numbers to compare."""
        found: list[object] = [type(self)]
        for name in _names(type(self)):
            value: object = getattr(self, name)
            if isinstance(value, np.ndarray):
                value = load_content(cast(Load, value))
            elif isinstance(value, Groups):
                value = value.content
            elif value is None:
                continue
            if value is None:
                return None
            found.append(value)
        return tuple(found)

    def scaled(self, factor: float) -> Self:
        """The same operator with so many times the load on every rank."""
        values = ((name, getattr(self, name)) for name in _names(type(self)))
        return replace(self, **{name: value * factor for name, value in values if isinstance(value, np.ndarray)})


@cache
def _names(kind: type[Op]) -> tuple[str, ...]:
    """Names of the parameters of a class."""
    return tuple([field.name for field in fields(kind)])


class Computation(Op):
    """An operator that computes: what a formula of a calibration needs to price it; by the roofline without one."""

    @property
    @abstractmethod
    def dtype(self) -> Dtype:
        """The type of the arithmetic."""

    own_regimes: ClassVar[tuple[str, ...]] = ("elementwise",)

    @property
    def busiest(self) -> Computation:
        """What it is priced by: itself, but where chance gives one rank of a group more than all expect."""
        return self

    def regimes(self, setting: Setting) -> tuple[str, ...]:
        """Names of the regimes of a calibration that may price it, the nearest first; none: the roofline."""
        return self.own_regimes

    def sizes(self, setting: Setting) -> Sizes:
        """Inputs of the formula that all ranks share."""
        return ()

    @lazy
    def inputs(self) -> Mapping[str, Load]:
        """Inputs of the formula by rank, beside FLOPs and bytes."""
        return {}

    def wider(self, setting: Setting) -> tuple[Computation, ...]:
        """The same with weights in wider types, which it never takes longer than."""
        return ()
