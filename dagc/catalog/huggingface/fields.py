"""Typed access to the fields of one configuration, and what can be wrong with one.

Fields are read by name and never guessed: a missing one, or one of another type, raises a `FieldError` with its name,
which `read` turns into a diagnostic. Where the library of an architecture defines a default, the family states it.
Every name that is asked for is recorded, so that what nobody asked for can be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, TypeVar, cast

from dagc.catalog.dtype import Dtype

LARGEST = 10**8
LARGEST_FACTOR = 1000
"""Of a width that is stated as a factor of another one."""
MOST_LAYERS = 10_000

_DTYPES = {"bfloat16": Dtype.BF16, "float16": Dtype.FP16, "float32": Dtype.FP32}

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Config:
    """The fields of one configuration; `defaults` are those that the architecture's library takes where one is absent.

    A name with dots is a path into nested objects: `ffn_config.moe_top_k`.
    """

    data: Mapping[str, Any]
    defaults: Mapping[str, Any]
    asked: set[str] = dataclass_field(default_factory=set[str], compare=False)

    def get(self, field: str) -> object:
        """The value of a field, or its default; None where there is neither."""
        self.asked.add(field)
        value: object = self.data
        for step in field.split("."):
            value = cast("Mapping[str, object]", value).get(step) if isinstance(value, Mapping) else None
        return self.defaults.get(field) if value is None else value

    def states(self, field: str) -> bool:
        """Whether the file itself has a value for a field, which does not count as asking for it."""
        return self.data.get(field) is not None

    def without_effect(self, *fields: str) -> None:
        """These fields are known, and change no figure beside what the other fields of this file say."""
        self.asked.update(fields)

    def repeats(self, expected: int, *fields: str) -> None:
        """These fields, where they are stated, repeat a number that others determine."""
        for field in fields:
            if self.get(field) not in (None, expected):
                raise InvalidField(field, f"is {shown(self.get(field))}, and other fields make it {expected}")

    def expect(self, field: str, value: object) -> None:
        """The field, where it is stated, says what the architecture is known to have."""
        if self.get(field) not in (None, value):
            raise UnsupportedField(field, f"is {shown(self.get(field))}; known is {shown(value)}")

    def first(self, *fields: str) -> str:
        """The first of several names of one field that is there, or all of them for a message.

        Further names must state the same, where they state it in the same way.
        """
        found = [field for field in fields if self.get(field) is not None]
        for other in found[1:]:
            if type(self.get(other)) is type(self.get(found[0])) and self.get(other) != self.get(found[0]):
                raise InvalidField(other, f"is {shown(self.get(other))}, and `{found[0]}` says otherwise")
        return found[0] if found else "` or `".join(fields)

    def count(self, *fields: str, minimum: int = 1, maximum: int = LARGEST) -> int:
        """A whole number in a range, under one of its names."""
        field = self.first(*fields)
        value = self.get(field)
        if value is None:
            raise MissingField(field)
        return _whole(field, value, minimum, maximum)

    def count_or(self, default: int, *fields: str, minimum: int = 0) -> int:
        """A whole number, or the default where the field is absent or null."""
        return default if self.get(self.first(*fields)) is None else self.count(*fields, minimum=minimum)

    def same(self, *fields: str, minimum: int = 1) -> int:
        """A whole number, or a list of them that are all alike: one for each layer."""
        field = self.first(*fields)
        value = self.get(field)
        if not isinstance(value, list):
            return self.count(*fields, minimum=minimum)
        numbers = {_whole(field, each, minimum, LARGEST) for each in cast("list[object]", value)}
        if len(numbers) != 1:
            raise UnsupportedField(field, "differs from layer to layer, which is not supported")
        return numbers.pop()

    def flag(self, field: str, default: bool = False) -> bool:
        """A boolean, or the default where the field is absent or null."""
        value = self.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidField(field, f"is {shown(value)}, not true or false")
        return value

    def table(self, field: str) -> Mapping[str, Any] | None:
        """A nested object; None where the field is absent or null."""
        value = self.get(field)
        if value is None or isinstance(value, Mapping):
            return cast("Mapping[str, Any] | None", value)
        raise InvalidField(field, "is not an object")

    def by_layer(self, field: str, layers: int) -> tuple[object, ...] | None:
        """One entry for each layer; None where the field is absent. Entries beyond are those of MTP layers."""
        value = self.get(field)
        if value is None:
            return None
        if isinstance(value, str | list) and len(cast("Sequence[object]", value)) >= layers:
            return tuple(cast("Sequence[object]", value))[:layers]
        raise InvalidField(field, f"does not state each of the {layers} layers")

    def kinds(self, field: str, layers: int, known: Mapping[object, Entry]) -> tuple[Entry, ...] | None:
        """The same, each entry translated; an unknown one is named."""
        entries = self.by_layer(field, layers)
        return None if entries is None else tuple(_known(field, entry, known) for entry in entries)

    def indices(self, field: str, start: int = 0) -> frozenset[int] | None:
        """Numbers of layers, as a list or in a text with commas, counted from `start`; None where it is absent."""
        value = self.get(field)
        if value is None:
            return None
        entries = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list):
            raise InvalidField(field, "is not a list of layers")
        return frozenset(_index(field, entry) - start for entry in cast("list[object]", entries))

    def layers(self) -> int:
        """The number of layers."""
        return self.count("num_hidden_layers", "n_layers", "num_layers", maximum=MOST_LAYERS)

    def hidden(self) -> int:
        """The width of the model."""
        return self.count("hidden_size", "d_model")

    def activation(self) -> Dtype:
        """The type of activations; bf16 where the configuration does not say, as quantised ones often do not."""
        field = self.first("torch_dtype", "dtype")
        name = self.get(field)
        if name is None:
            return Dtype.BF16
        if str(name) not in _DTYPES:
            raise UnsupportedField(field, f"is {shown(name)}; known are {', '.join(_DTYPES)}")
        return _DTYPES[str(name)]

    def refuse(self, field: str, meaning: str, is_asked: Callable[[object], bool] = bool) -> None:
        """Give up where a field asks for what the shapes cannot express."""
        if is_asked(self.get(field)):
            raise UnsupportedField(field, f"is {shown(self.get(field))}: {meaning} is not supported")


def _whole(field: str, value: object, minimum: int, maximum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise InvalidField(field, f"is {shown(value)}, not a whole number from {minimum} to {maximum:,}")
    return value


def _index(field: str, entry: object) -> int:
    """Number of a layer, which a text may hold in digits."""
    if isinstance(entry, str) and entry.strip().isdecimal() and len(entry) < 20:
        return int(entry)
    if not isinstance(entry, int) or isinstance(entry, bool) or abs(entry) > MOST_LAYERS:
        raise InvalidField(field, "is not a list of layers")
    return entry


def _known(field: str, entry: object, known: Mapping[object, Entry]) -> Entry:
    if not isinstance(entry, str | int) or entry not in known:
        raise UnsupportedField(field, f"has {shown(entry)} in it; known are {', '.join(str(name) for name in known)}")
    return known[entry]


_SHOWN = 40
"""Characters of a value that a message shows."""


def shown(value: object) -> str:
    """A value for a message, of a long one its start."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class FieldError(Exception):
    """A field cannot be read; caught in `read`, which makes a diagnostic of it.

    `field` is a path inside the text part, steps joined by dots, or in the whole file where `is_from_root`; `problem`
    continues a sentence that starts with it. `help` says what the author of the file can do.
    """

    is_from_root = False
    help = "write the shapes out in a `model NAME { … }` block"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field)
        self.field = field
        self.problem = problem


class MissingField(FieldError):
    """A field without which the shapes are not determined."""

    help = "add the field with the value of the published file, or write the shapes out in a `model NAME { … }` block"

    def __init__(self, field: str, problem: str = "is missing") -> None:
        super().__init__(field, problem)


class InvalidField(FieldError):
    """A field of another type, out of its range, or in contradiction to another field."""

    help = "correct its value, or write the shapes out in a `model NAME { … }` block"


class OutsideField(InvalidField):
    """A field of the language model beside the section that states it, with another value."""

    is_from_root = True


class UnsupportedField(FieldError):
    """A field whose value is well formed and asks for what dagc does not model."""

    help = "dagc does not support this value: write the shapes that come nearest in a `model NAME { … }` block"


class UnknownFields(FieldError):
    """Fields that are neither read nor known to change no figure; `fields` are their paths from the file's root."""

    help = (
        "a field that changes no shape, layer or stored type can be deleted from the file; otherwise write the shapes"
        " out in a `model NAME { … }` block"
    )

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__(fields[0], "is not read, and may change the shapes")
        self.fields = tuple(fields)
