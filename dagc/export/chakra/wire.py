"""Nodes of Chakra execution traces as bytes: schema 1.0.0, package `ChakraProtoMsg`.

Turns plain values into messages, each after its length as a varint. Field numbers and enumerations are those of
`et_def.proto`. Knows no plans.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from dagc.export.protobuf import field, number, varint
from dagc.ops.communication import CollectiveType

VERSION = "1.0.0"

MINIMUM_BYTES = 1024
"""Minimum size of a message or a collective that is written.

ASTRA-sim's congestion-aware backend counts whole nanoseconds, and aborts where a message at time 0, as those of the
tokens of the step before are, takes less than one on a link. 1,024 bytes take one or more up to 953 GB/s; at 400 GB/s
they take 3 ns, the most that a smaller message gains.
"""

Waits = tuple[tuple[int, ...], tuple[int, ...]]
"""The nodes that one waits for, by order and by data."""


class NodeType(IntEnum):
    """What a node is."""

    COMP = 4
    SEND = 5
    RECEIVE = 6
    COLLECTIVE = 7


_ID, _NAME, _TYPE, _ORDER, _DATA, _MICROSECONDS, _ATTRIBUTE = 1, 2, 3, 4, 5, 7, 10
_INT32, _INT64, _UINT64, _BOOL, _STRING = 7, 9, 13, 27, 29

_ID_TAG, _TIME_TAG = (varint(tag << 3) for tag in (_ID, _MICROSECONDS))

_ON_GPU = field(_ATTRIBUTE, field(1, b"is_cpu_op") + number(_BOOL, 0))


def header() -> bytes:
    """The message that opens a file."""
    return _delimited(field(1, VERSION.encode()))


@lru_cache(maxsize=1 << 15)
def node(identity: int, titled: bytes, waits: Waits, micros: int, attributes: bytes) -> bytes:
    """One node; `titled` is what `title` gives. Kept, because the other ranks of a team have most of them too."""
    order, data = (b"".join(map(varint, one)) for one in waits)
    content = b"".join((
        _ID_TAG, varint(identity), titled,
        field(_ORDER, order) if order else b"", field(_DATA, data) if data else b"",
        _TIME_TAG, varint(micros), attributes,
    ))  # fmt: skip
    return _delimited(content)


def title(name: str, kind: NodeType) -> bytes:
    """Name and type of a node."""
    return field(_NAME, name.encode()) + number(_TYPE, kind)


def computation(flops: int, size: int) -> bytes:
    """Attributes of a computation: FLOPs, and bytes to and from memory, at least one of each.

    By its roofline a simulator divides FLOPs by the rate that their ratio to bytes allows: 0 / 0 without FLOPs, and
    with one of them the time that the bytes take.
    """
    return _ON_GPU + _attribute("num_ops", _INT64, max(1, flops)) + _attribute("tensor_size", _UINT64, max(1, size))


def collective(kind: CollectiveType, size: int, group: int) -> bytes:
    """Attributes of a collective in a numbered group; `size` in bytes as the replay counts it."""
    named = field(_ATTRIBUTE, field(1, b"pg_name") + field(_STRING, str(group).encode()))
    return _ON_GPU + _attribute("comm_type", _INT64, kind) + _size(size) + named


def message(size: int, source: int, target: int, tag: int) -> bytes:
    """Attributes of a send or a receive of `size` bytes between two ranks."""
    ends = _attribute("comm_src", _INT32, source) + _attribute("comm_dst", _INT32, target)
    return _ON_GPU + _size(size) + ends + _attribute("comm_tag", _INT32, tag)


def _size(size: int) -> bytes:
    return _attribute("comm_size", _INT64, max(MINIMUM_BYTES, size))


def _attribute(name: str, kind: int, value: int) -> bytes:
    return field(_ATTRIBUTE, field(1, name.encode()) + number(kind, value))


def _delimited(content: bytes) -> bytes:
    return varint(len(content)) + content
