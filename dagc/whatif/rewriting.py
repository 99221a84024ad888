"""Edits of a strategy's text: degrees, options, axes around and beside others.

Edits of one strategy that do not meet are applied together; the result is a text that still has to be read and may be
refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from dagc.diag.diagnostic import Edit
from dagc.source import Span
from dagc.syntax.tree import Axis, Option, Scope, Strategy


def edited(strategy: Strategy, edits: Iterable[Edit]) -> str:
    """The strategy's text with these edits."""
    whole = strategy.outer
    text, place = "", whole.start
    for edit in sorted(edits, key=lambda one: (one.span.start, one.span.end)):
        text += whole.source.text[place : edit.span.start] + edit.replacement
        place = edit.span.end
    return text + whole.source.text[place : whole.end]


def degree(axis: Axis, number: int) -> Edit:
    """Another degree of an axis."""
    return Edit(axis.span, f"{axis.kind} {number}")


def around(strategy: Strategy, opening: str, closing: str) -> tuple[Edit, Edit]:
    """Text put before and behind a part."""
    whole = strategy.outer
    return Edit(_at(whole, whole.start), opening), Edit(_at(whole, whole.end), closing)


def with_option(node: Axis | Scope, name: str, text: str) -> Edit:
    """An option with these words in the place of what is written of it, or behind the others; none where empty."""
    kept = [option.span.text for option in node.options if option.name != name]
    wanted = [*kept, text] if text else kept
    written = f" [{', '.join(wanted)}]" if wanted else ""
    return Edit(_brackets(node), written)


def option(node: Axis | Scope, name: str) -> Option | None:
    """An option as written, or None."""
    return next((one for one in node.options if one.name == name), None)


def _brackets(node: Axis | Scope) -> Span:
    """From behind an axis's degree or a scope's name to the end of its options."""
    source, start = node.span.source, node.span.end
    if not node.options:
        return _at(node.span, start)
    return source.span(start, source.text.index("]", node.options[-1].span.end) + 1)


def _at(span: Span, offset: int) -> Span:
    return span.source.span(offset, offset)
