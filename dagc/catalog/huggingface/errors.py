"""What can be wrong with a field of a configuration: each kind has its own way out."""

from __future__ import annotations

from collections.abc import Sequence

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
