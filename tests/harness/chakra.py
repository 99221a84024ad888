"""Chakra execution traces read as a stranger reads them: with the public reader where it is installed.

Without `mlc-chakra` the messages are declared here from the field numbers of its public definition, schema 1.0.0; a
test compares the two where both are there. Nothing of the exporter is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

COMP, SEND, RECEIVE, COLLECTIVE = 4, 5, 6, 7
ALL_REDUCE, ALL_GATHER, ALL_TO_ALL, REDUCE_SCATTER = 0, 2, 6, 7

_T = FieldDescriptorProto
MESSAGES = {
    "AttributeProto": {
        "name": (1, _T.TYPE_STRING), "double_val": (3, _T.TYPE_DOUBLE), "float_val": (5, _T.TYPE_FLOAT),
        "int32_val": (7, _T.TYPE_INT32), "int64_val": (9, _T.TYPE_INT64), "uint32_val": (11, _T.TYPE_UINT32),
        "uint64_val": (13, _T.TYPE_UINT64), "bool_val": (27, _T.TYPE_BOOL), "string_val": (29, _T.TYPE_STRING),
    },
    "GlobalMetadata": {"version": (1, _T.TYPE_STRING), "attr": (2, "AttributeProto")},
    "Node": {
        "id": (1, _T.TYPE_UINT64), "name": (2, _T.TYPE_STRING), "type": (3, _T.TYPE_INT32),
        "ctrl_deps": (4, [_T.TYPE_UINT64]), "data_deps": (5, [_T.TYPE_UINT64]),
        "start_time_micros": (6, _T.TYPE_UINT64), "duration_micros": (7, _T.TYPE_UINT64),
        "attr": (10, "AttributeProto"),
    },
}  # fmt: skip
"""Fields by message: number, and type; a list or the name of a message where there are many."""


def declared() -> dict[str, Any]:
    """The classes of messages, from the declaration above."""
    file = FileDescriptorProto(name="declared.proto", package="ChakraProtoMsg", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for title, (number, kind) in fields.items():
            many = not isinstance(kind, int)
            label = _T.LABEL_REPEATED if many else _T.LABEL_OPTIONAL
            field = message.field.add(name=title, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _T.TYPE_MESSAGE, f".ChakraProtoMsg.{kind}"
            else:
                field.type = kind[0] if isinstance(kind, list) else kind
            if title.endswith("_val"):
                field.oneof_index = 0
        if name == "AttributeProto":
            message.oneof_decl.add(name="value")
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"ChakraProtoMsg.{name}")) for name in MESSAGES}


def public() -> dict[str, Any]:
    """The classes of the public package. Raises ImportError where it is not installed."""
    from chakra.schema.protobuf import et_def_pb2  # pyright: ignore[reportMissingImports]

    return {name: getattr(et_def_pb2, name) for name in MESSAGES}


@dataclass(frozen=True, slots=True)
class TraceNode:
    """A node with its attributes by name."""

    id: int
    name: str
    type: int
    order: tuple[int, ...]
    data: tuple[int, ...]
    micros: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Traces:
    """The nodes of each rank, and the ranks of each group by name."""

    ranks: dict[int, tuple[TraceNode, ...]]
    groups: dict[str, tuple[int, ...]]


def read(files: Mapping[str, Iterable[bytes]], phase: str, messages: Mapping[str, Any] | None = None) -> Traces:
    """The traces of one phase, by `messages` or the declared ones."""
    classes = declared() if messages is None else messages
    prefix = f"chakra/{phase}/"
    ranks: dict[int, tuple[TraceNode, ...]] = {}
    groups: dict[str, tuple[int, ...]] = {}
    for name, content in files.items():
        if name == f"{prefix}groups.json":
            groups = {key: tuple(held) for key, held in json.loads(b"".join(content)).items()}
        elif name.startswith(prefix):
            stem, rank, ending = name.removeprefix(prefix).split(".")
            assert (stem, ending) == ("rank", "et")
            ranks[int(rank)] = nodes(b"".join(content), classes)
    return Traces(ranks, groups)


def nodes(data: bytes, classes: Mapping[str, Any]) -> tuple[TraceNode, ...]:
    """The nodes of one file, whose first message names the version."""
    pieces = list(split(data))
    assert classes["GlobalMetadata"].FromString(pieces[0]).version == "1.0.0"
    return tuple(_node(classes["Node"].FromString(piece)) for piece in pieces[1:])


def split(data: bytes) -> Iterable[bytes]:
    """Messages, each after its length as a varint."""
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        assert at + length <= len(data), "a message is cut off"
        yield data[at : at + length]
        at += length


def _node(message: Any) -> TraceNode:
    attributes = {one.name: getattr(one, one.WhichOneof("value")) for one in message.attr}
    assert len(attributes) == len(message.attr)
    waits = tuple(message.ctrl_deps), tuple(message.data_deps)
    return TraceNode(message.id, message.name, message.type, *waits, message.duration_micros, attributes)
