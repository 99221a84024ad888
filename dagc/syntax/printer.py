"""The canonical text of strategies and plan files: what `dagc fmt` writes.

Canonical are the blanks, the parentheses (none that change nothing) and one line for a strategy. Kept are the
order of statements, which entries are together on a line, one empty line where there were some, and comments:
behind the line they stood behind, or above the line that followed them. Formatting twice changes nothing.

Entries keep their lines because the end of a line ends an entry; so the tree that is printed must carry the spans
of the text it was parsed from. `format_strategy` needs no spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from dagc.source import Source, Span
from dagc.syntax.tree import (
    Axis,
    Block,
    Entry,
    Fold,
    NamedStrategy,
    Option,
    PlanFile,
    Pools,
    Quantity,
    Scope,
    Strategy,
    Value,
)

_INDENT = "    "
_GAP = "    "
"""Between entries of one line, and before a comment behind a line."""


def format_strategy(strategy: Strategy) -> str:
    """A strategy on one line, with the fewest parentheses that keep its tree."""
    match strategy:
        case Axis():
            return f"{strategy.kind} {strategy.degree}{_options(strategy.options)}{_inside(strategy.body)}"
        case Scope():
            return f"{strategy.kind}{_options(strategy.options)}{_inside(strategy.body)}"
        case Fold():
            return " ; ".join(_branch(branch, (Fold, Pools)) for branch in strategy.branches)
        case Pools():
            return " | ".join(_branch(branch, (Pools,)) for branch in strategy.branches)


def format_plan(file: PlanFile) -> str:
    """A whole file, ending in a line end."""
    return _Printer(file.source, list(file.comments)).plan(file)


def _branch(branch: Strategy, looser: tuple[type[Fold] | type[Pools], ...]) -> str:
    text = format_strategy(branch)
    return f"({text})" if isinstance(branch, looser) else text


def _inside(body: Strategy | None) -> str:
    return "" if body is None else f" < {format_strategy(body)} >"


def _options(options: Sequence[Option]) -> str:
    if not options:
        return ""
    return f" [{', '.join(' '.join([o.name, *map(_value, o.values)]) for o in options)}]"


def _value(value: Value) -> str:
    if isinstance(value, Quantity):
        number = _number(value.value)
        return number if value.unit is None else f"{number} {value.unit}"
    return f'"{value.text}"' if value.quoted else value.text


def _number(value: int | float) -> str:
    """The shortest text that reads back as this number, and as a float where it is one."""
    if isinstance(value, int):
        return str(value)
    plain = repr(value)
    if "e" in plain or not plain.endswith("000.0"):
        return plain
    digits = Decimal(plain).normalize()
    return f"{digits:e}".replace("e+", "e")


def _entry_line(entry: Entry) -> str:
    """An entry without its body."""
    percentile = [entry.percentile.text] if entry.percentile else []
    comparison = [entry.comparison] if entry.comparison else []
    return " ".join([entry.name, *percentile, *comparison, *map(_value, entry.values)])


@dataclass(slots=True)
class _Printer:
    source: Source
    comments: list[Span]
    lines: list[str] = field(default_factory=list[str])
    printed_to: int = 0

    def plan(self, file: PlanFile) -> str:
        statements = sorted((*file.blocks, *file.strategies), key=lambda statement: statement.span.start)
        for statement in statements:
            self._above(statement.span, "")
            if isinstance(statement, NamedStrategy):
                self._strategy(statement)
            else:
                self._block(statement)
        self._comments_before(len(self.source.text) + 1, "")
        return "".join(f"{line.rstrip()}\n" for line in self.lines)

    def _strategy(self, statement: NamedStrategy) -> None:
        self._comments_before(statement.span.end, "")
        name = "" if statement.name_span is None else f"strategy {statement.name} = "
        self._line(f"{name}{format_strategy(statement.body)}", statement.span.end)

    def _block(self, block: Block) -> None:
        head = " ".join([block.keyword, *map(_value, block.head)])
        if block.body is None:
            self._line(head, block.span.end)
            return
        start = block.head[-1].span.end if block.head else block.span.start + len(block.keyword)
        self._body(head, block.body, start, "")

    def _body(self, head: str, entries: Sequence[Entry], start: int, indent: str) -> None:
        """`head { entries }`, on one line where it was on one; `start` is where the head ends in the text."""
        opening = self._find("{", start)
        end = self._end(entries, opening + 1)
        if self._is_one_line(opening, end) or (not entries and not self._has_comment(opening, end)):
            self._comments_before(opening, indent)
            self._line(f"{indent}{head} {self._inline(entries)}", end)
            return
        self._line(f"{indent}{head} {{", opening + 1)
        for group in self._groups(entries):
            self._group(group, indent + _INDENT)
        self._comments_before(end, indent + _INDENT)
        self._line(f"{indent}}}", end)

    def _group(self, entries: Sequence[Entry], indent: str) -> None:
        """Entries that began on one line; one whose body goes over lines comes last."""
        self._above(entries[0].name_span, indent)
        last = entries[-1]
        texts = [self._inline_entry(entry) for entry in entries[:-1]]
        end = self._entry_end(last)
        if last.body is None or self._is_one_line(last.span.start, end):
            self._comments_before(last.span.end if last.body is None else end, indent)
            self._line(indent + _GAP.join([*texts, self._inline_entry(last)]), end)
            return
        head = _GAP.join([*texts, _entry_line(last)])
        self._body(head, last.body, last.span.end, indent)

    def _groups(self, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
        group: list[Entry] = []
        for entry in entries:
            if group and not self._goes_on(group[-1], entry):
                yield group
                group = []
            group.append(entry)
        if group:
            yield group

    def _goes_on(self, before: Entry, entry: Entry) -> bool:
        """Whether the line of one entry goes on with the next: a body over several lines ends its line."""
        end = self._entry_end(before)
        return self._is_one_line(before.span.start, end) and self._is_one_line(end, entry.span.start)

    def _inline_entry(self, entry: Entry) -> str:
        line = _entry_line(entry)
        return line if entry.body is None else f"{line} {self._inline(entry.body)}"

    def _inline(self, entries: Sequence[Entry]) -> str:
        return f"{{ {_GAP.join(map(self._inline_entry, entries))} }}" if entries else "{ }"

    # Lines and comments

    def _line(self, text: str, end: int) -> None:
        """Add a line that ends at this offset of the text, with the comment that stood behind it."""
        comment = self.comments[0] if self.comments else None
        if comment is not None and comment.start >= end and self._is_behind(comment, end):
            self.comments.pop(0)
            text, end = f"{text}{_GAP}{comment.text.rstrip()}", comment.end
        self.lines.append(text)
        self.printed_to = end

    def _is_behind(self, comment: Span, end: int) -> bool:
        """Whether nothing but blanks is between."""
        return not self.source.text[end : comment.start].strip(" \t")

    def _above(self, place: Span, indent: str) -> None:
        """Comments and an empty line, where there were some, above what starts here."""
        self._comments_before(place.start, indent)
        self._empty_line_before(place.start)

    def _comments_before(self, offset: int, indent: str) -> None:
        while self.comments and self.comments[0].start < offset:
            comment = self.comments.pop(0)
            self._empty_line_before(comment.start)
            self.lines.append(f"{indent}{comment.text.rstrip()}")
            self.printed_to = max(self.printed_to, comment.end)

    def _empty_line_before(self, offset: int) -> None:
        gap = self.source.text[self.printed_to : offset]
        if self.lines and not gap.strip() and gap.count("\n") > 1 and not self.lines[-1].endswith("{"):
            self.lines.append("")

    # Places in the text

    def _line_of(self, offset: int) -> int:
        return self.source.position(offset)[0]

    def _is_one_line(self, start: int, end: int) -> bool:
        return self._line_of(start) == self._line_of(end)

    def _has_comment(self, start: int, end: int) -> bool:
        return any(start <= comment.start < end for comment in self.comments)

    def _entry_end(self, entry: Entry) -> int:
        """Just after the entry, its body included."""
        if entry.body is None:
            return entry.span.end
        return self._end(entry.body, self._find("{", entry.span.end) + 1)

    def _end(self, entries: Sequence[Entry], start: int) -> int:
        """Just after the `}` that closes these entries; `start` is just after its `{`."""
        return self._find("}", self._entry_end(entries[-1]) if entries else start) + 1

    def _find(self, sign: str, start: int) -> int:
        """Offset of the next such bracket that is in no comment."""
        line = self.source.line
        at = self.source.text.index(sign, start)
        number, column = self.source.position(at)
        first, first_column = self.source.position(start)
        text = line(number)[: column - 1]
        comment = text.find("#", first_column - 1 if number == first else 0)
        return at if comment < 0 else self._find(sign, at + 1)
