"""Entries of a block become typed values, by a table of fields.

A block's reader states its fields as data (`Field`): the name, what kind of value it takes, in which dimension and
range, whether it opens a block of its own. `read_fields` turns entries into a `Record` in SI units and reports what
does not fit: unknown and repeated fields, units of another dimension, values out of range. What is reported is left
out of the record, so that nothing further follows from it. A unit word that nobody knows was reported by the parser
and is left out silently. What the values mean together is the business of the block's reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from dagc.diag.diagnostic import Code, Diagnostic, Fix, Label
from dagc.diag.fixing import asked, meant, remove, spelling, write
from dagc.source import Span
from dagc.syntax.tree import Entry, Quantity, Value, Word
from dagc.units import Dimension, candidates, likeliest, lookup

UNKNOWN_FIELD = Code("N111", "unknown-field")
REPEATED_FIELD = Code("N112", "repeated-field")
FIELD_UNIT = Code("N113", "field-unit")
BAD_VALUE = Code("N114", "bad-value")
MISSING_FIELD = Code("N118", "missing-field")

Scalar = int | float | bool | str

FLAGS: Mapping[str, bool] = {"yes": True, "no": False, "true": True, "false": False}
"""Words of a field that holds or does not; `yes` and `no` are the ones offered."""

LARGEST = 10**12
"""Largest count where a field names no limit of its own."""


class FieldKind(StrEnum):
    """What the value of a field is."""

    COUNT = "a whole number"
    QUANTITY = "a number"
    FLAG = "`yes` or `no`"
    CHOICE = "one of some words"
    NAME = "a name"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name and the kind of its value; None where it takes only a block.

    `dimension` is what a quantity measures (a share must be in (0, 1]); a count may be written with `K`, `M`, `B`.
    `minimum` and `maximum` bound counts. `words` are those of a choice. `table` holds the fields of the block after
    it, `optional` says that the value may be left out before that block. `then` are parts named by a word after the
    value: `window 128 every 2` reads `every` as the field `window_every`; one that is also a choice comes with its
    value: `routing zipf 1` reads `zipf` and the field `routing_zipf`. `may_be_zero` is for quantities, which are
    positive otherwise. `sample` is a value for help texts. `misnomers` are names that people know the field by from
    elsewhere, only to offer the right one.
    """

    name: str
    kind: FieldKind | None = FieldKind.COUNT
    dimension: Dimension = Dimension.COUNT
    minimum: int = 1
    maximum: int = LARGEST
    words: tuple[str, ...] = ()
    table: tuple[Field, ...] = ()
    optional: bool = False
    then: tuple[Field, ...] = ()
    may_be_zero: bool = False
    sample: str = ""
    misnomers: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        """A value as it may be written, for help texts."""
        if self.sample:
            return self.sample
        match self.kind:
            case None:
                return "{ … }"
            case FieldKind.COUNT:
                return str(min(max(self.minimum, 8), self.maximum))
            case FieldKind.QUANTITY:
                return _EXAMPLES[self.dimension]
            case FieldKind.FLAG:
                return "yes"
            case FieldKind.CHOICE:
                return self.words[0]
            case FieldKind.NAME:
                return "NAME"


_SMALLEST, _LARGEST = 1e-15, 1e30
"""Bounds of quantities in SI units, between which sums and ratios of them are finite."""

_MINIMUM = {Dimension.BYTES: 1.0, Dimension.BYTE_RATE: 1.0, Dimension.FLOP_RATE: 1.0}
"""Quantities of which less than one is none."""

_MOST = {Dimension.BYTES: 1e15}
"""Of memory a petabyte: sums of it are whole numbers that JSON can hold."""

_EXAMPLES = {
    Dimension.BYTES: "80 GB",
    Dimension.BYTE_RATE: "450 GB/s",
    Dimension.MONEY_RATE: "2.5 USD/h",
    Dimension.FLOP_RATE: "400 TFLOP/s",
    Dimension.SECONDS: "2 us",
    Dimension.TOKEN_RATE: "100 tokens/s",
    Dimension.REQUEST_RATE: "2 requests/s",
    Dimension.SHARE: "60 %",
    Dimension.RATIO: "1.5 x",
    Dimension.COUNT: "8",
}


@dataclass(frozen=True, slots=True)
class GivenField:
    """One field as written: its value (None where only its block was), the block's record, and its place."""

    value: Scalar | None
    table: BlockFields | None
    span: Span


@dataclass(frozen=True, slots=True)
class BlockFields:
    """The fields of one block that were written and are well-formed, by name, in SI units."""

    fields: Mapping[str, GivenField] = field(default_factory=dict[str, GivenField])

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def count(self, name: str) -> int | None:
        """A whole number, or None where it was not written."""
        value = self._value(name)
        return int(value) if isinstance(value, int | float) else None

    def number(self, name: str) -> float | None:
        """A quantity in SI units, or None where it was not written."""
        value = self._value(name)
        return float(value) if isinstance(value, int | float) else None

    def flag(self, name: str) -> bool | None:
        """Whether it holds, or None where it was not written."""
        value = self._value(name)
        return value if isinstance(value, bool) else None

    def word(self, name: str) -> str | None:
        """A choice or name, or None where it was not written."""
        value = self._value(name)
        return value if isinstance(value, str) else None

    def table(self, name: str) -> BlockFields:
        """The block of a field; an empty record where there is none."""
        given = self.fields.get(name)
        return given.table if given and given.table else BlockFields()

    def scalars(self) -> dict[str, Scalar]:
        """All values by name."""
        return {name: given.value for name, given in self.fields.items() if given.value is not None}

    def spans(self) -> dict[str, Span]:
        """Where each field was written, those of nested blocks included under their own names."""
        found: dict[str, Span] = {}
        for name, given in self.fields.items():
            nested = given.table.spans() if given.table else {}
            found = {**nested, **found, name: given.span}
        return found

    def _value(self, name: str) -> Scalar | None:
        given = self.fields.get(name)
        return given.value if given else None


def read_fields(
    entries: Iterable[Entry], fields: tuple[Field, ...], block: str
) -> tuple[BlockFields, tuple[Diagnostic, ...]]:
    """The record of a block's entries, and N111-N114 for those that do not fit; `block` is its name in messages."""
    known = {f.name: f for f in fields}
    first: dict[str, Entry] = {}
    found: dict[str, GivenField] = {}
    problems: list[Diagnostic] = []
    for entry in entries:
        if entry.name not in known:
            problems.append(_unknown_field(entry, fields, block))
        elif entry.name in first:
            problems.append(_repeated(entry, first[entry.name], block))
        else:
            first[entry.name] = entry
            given, wrong = _read_entry(entry, known[entry.name])
            found |= given
            problems += wrong
    return BlockFields(found), tuple(problems)


def _unknown_field(entry: Entry, fields: tuple[Field, ...], block: str) -> Diagnostic:
    called = {name: f.name for f in fields for name in (f.name, *f.misnomers)}
    near = meant(entry.name, called, called)
    is_own = likeliest(entry.name, called) == near
    fixes = spelling(entry.name_span, near, called) if is_own or len(near) != 1 else write(entry.name_span, near[0])
    return UNKNOWN_FIELD.at(
        entry.name_span,
        f"`{entry.name}` is not a field of a `{block}` block",
        "unknown field",
        notes=(f"its fields are {', '.join(f.name for f in fields)}",),
        help=asked(near),
        fixes=fixes,
    )


def _repeated(entry: Entry, first: Entry, block: str) -> Diagnostic:
    is_same = entry.body is None and entry.span.text.split() == first.span.text.split() and first.body is None
    return REPEATED_FIELD.at(
        entry.name_span,
        f"`{entry.name}` is stated twice in one `{block}` block",
        "stated again",
        labels=(Label(first.span, "first stated here"),),
        help=("keep one of them",),
        fixes=remove(entry.span, safe=True) if is_same else (),
    )


def _read_entry(entry: Entry, spec: Field) -> tuple[dict[str, GivenField], list[Diagnostic]]:
    if entry.comparison is not None:
        return {}, [_bad(entry.name_span, spec, f"`{entry.name}` takes a value without a comparison", "compared")]
    if entry.body is not None and not spec.table:
        return {}, [_bad(entry.name_span, spec, f"`{entry.name}` takes no block", "a block follows")]
    if entry.body is None and spec.kind is None:
        return {}, [_bad(entry.name_span, spec, f"`{entry.name}` takes a block", "no block follows")]
    main, *parts = _split(entry.values, spec)
    value, problems = _main_value(entry, spec, main)
    table = None
    if entry.body is not None:
        table, wrong = read_fields(entry.body, spec.table, spec.name)
        problems += wrong
    given = {} if value is None and table is None else {spec.name: GivenField(value, table, entry.span)}
    for part in parts:
        found, wrong = _part(part, spec)
        given |= found
        problems += wrong
    return given, problems


def _split(values: tuple[Value, ...], spec: Field) -> list[tuple[Value, ...]]:
    """The values before the first word of `then`, and from each such word on; a choice that is such a word is both."""
    names = {f.name for f in spec.then}
    starts = [i for i, v in enumerate(values) if isinstance(v, Word) and v.text in names]
    edges = [0, *starts, len(values)]
    main, *parts = [values[a:b] for a, b in pairwise(edges)]
    is_both = not main and parts and isinstance(parts[0][0], Word) and parts[0][0].text in spec.words
    return [parts[0][:1] if is_both else main, *parts]


def _part(values: tuple[Value, ...], spec: Field) -> tuple[dict[str, GivenField], list[Diagnostic]]:
    word = values[0]
    named = next(f for f in spec.then if isinstance(word, Word) and f.name == word.text)
    if len(values) == 1:
        return {}, [_bad(word.span, named, f"`{named.name}` takes {named.kind}", "nothing follows")]
    value, problems = _one_value(values[1:], named)
    key = f"{spec.name}_{named.name}"
    return ({} if value is None else {key: GivenField(value, None, word.span.to(values[-1].span))}), problems


def _main_value(entry: Entry, spec: Field, values: tuple[Value, ...]) -> tuple[Scalar | None, list[Diagnostic]]:
    if spec.kind is None:
        if values:
            problem = _bad(values[0].span, spec, f"`{entry.name}` takes only a block", "a value before the block")
            return None, [problem]
        return None, []
    if not values:
        if spec.optional and entry.body is not None:
            return None, []
        return None, [_bad(entry.name_span, spec, f"`{entry.name}` takes {_wanted(spec)}", "nothing follows")]
    return _one_value(values, spec)


def _one_value(values: tuple[Value, ...], spec: Field) -> tuple[Scalar | None, list[Diagnostic]]:
    first, *rest = values
    if rest:
        return None, [_bad(rest[0].span, spec, f"`{spec.name}` takes one value", "one too many")]
    result = _READERS[spec.kind](first, spec)
    return (None, [result]) if isinstance(result, Diagnostic) else (result, [])


def _wanted(spec: Field) -> str:
    match spec.kind:
        case FieldKind.QUANTITY:
            return f"a number in {spec.dimension}"
        case FieldKind.CHOICE:
            return "one of " + ", ".join(f"`{w}`" for w in spec.words)
        case _:
            return str(spec.kind)


def _bad(span: Span, spec: Field, message: str, label: str) -> Diagnostic:
    return BAD_VALUE.at(span, message, label, help=(f"write it as `{spec.name} {spec.example}`",))


def _not_this(value: Value, spec: Field) -> Diagnostic:
    return _bad(value.span, spec, f"`{spec.name}` takes {_wanted(spec)}, not `{value.span.text}`", f"not {spec.kind}")


def _count(value: Value, spec: Field) -> Scalar | Diagnostic | None:
    if isinstance(value, Word):
        return _not_this(value, spec)
    scale = 1.0
    if value.unit is not None:
        if not candidates(value.unit):
            return None
        unit = lookup(value.unit, Dimension.COUNT)
        if unit is None or unit.per_gpu:
            return _wrong_unit(value, spec)
        scale = unit.scale
    number = value.value if scale == 1 else round(value.value * scale, 6)
    if number != int(number):
        return _not_this(value, spec)
    return _in_range(int(number), value, spec)


def _in_range(number: int, value: Quantity, spec: Field) -> int | Diagnostic:
    if spec.minimum <= number <= spec.maximum:
        return number
    bound = f"at least {spec.minimum}" if number < spec.minimum else f"at most {spec.maximum:,}"
    return _bad(value.span, spec, f"`{spec.name}` is {bound}, not {value.span.text}", f"not {bound}")


def _quantity(value: Value, spec: Field) -> Scalar | Diagnostic | None:
    if isinstance(value, Word):
        return _not_this(value, spec)
    if value.unit is not None and not candidates(value.unit):
        return None
    unit = lookup(value.unit, spec.dimension) if value.unit is not None else None
    bare = value.unit is None and spec.dimension in (Dimension.COUNT, Dimension.RATIO)
    if not bare and unit is None:
        return _wrong_unit(value, spec)
    number = value.value * (unit.scale if unit else 1.0)
    if number < 0 or (number == 0 and not spec.may_be_zero):
        wanted = "zero or more" if spec.may_be_zero else "positive"
        return _bad(value.span, spec, f"`{spec.name}` is {wanted}, not {value.span.text}", f"not {wanted}")
    if number and not _MINIMUM.get(spec.dimension, _SMALLEST) <= number <= _MOST.get(spec.dimension, _LARGEST):
        return _bad(value.span, spec, f"`{spec.name}` is out of range: {value.span.text}", "no such quantity")
    if spec.dimension is Dimension.SHARE and number > 1:
        return _bad(value.span, spec, f"`{spec.name}` is a share, at most 100 %", "more than 100 %")
    return number


def _wrong_unit(value: Quantity, spec: Field) -> Diagnostic:
    wanted = spec.dimension if spec.kind is FieldKind.QUANTITY else "whole numbers"
    known = candidates(value.unit) if value.unit is not None else ()
    problem = f"`{value.unit}` measures {known[0].dimension}" if known else "the number has no unit"
    return FIELD_UNIT.at(
        value.unit_span or value.span,
        f"`{spec.name}` is stated in {wanted}; {problem}",
        f"not {wanted}" if known else "no unit",
        help=(f"write it as `{spec.name} {spec.example}`",),
        fixes=_as_rate(value, spec.dimension),
    )


def _as_rate(value: Quantity, dimension: Dimension) -> tuple[Fix, ...]:
    """`25 GB` where a rate is stated: `/s` was left out."""
    rate = f"{value.unit}/s"
    if value.unit is None or value.unit_span is None or lookup(rate, dimension) is None:
        return ()
    return write(value.unit_span, rate)


def _flag(value: Value, spec: Field) -> Scalar | Diagnostic | None:
    if isinstance(value, Word) and value.text.lower() in FLAGS:
        return FLAGS[value.text.lower()]
    return _not_this(value, spec)


def _choice(value: Value, spec: Field) -> Scalar | Diagnostic | None:
    if isinstance(value, Word) and value.text in spec.words:
        return value.text
    near = meant(value.text, spec.words) if isinstance(value, Word) else ()
    return BAD_VALUE.at(
        value.span,
        f"`{spec.name}` is {_wanted(spec)}, not `{value.span.text}`",
        "unknown word",
        help=asked(near),
        fixes=spelling(value.span, near, spec.words),
    )


def _name(value: Value, spec: Field) -> Scalar | Diagnostic | None:
    return value.text if isinstance(value, Word) else _not_this(value, spec)


_READERS: Mapping[FieldKind | None, Callable[[Value, Field], Scalar | Diagnostic | None]] = {
    FieldKind.COUNT: _count,
    FieldKind.QUANTITY: _quantity,
    FieldKind.FLAG: _flag,
    FieldKind.CHOICE: _choice,
    FieldKind.NAME: _name,
}
