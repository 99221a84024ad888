"""Edits of the text of options: one taken away, with the comma or the brackets that go with it, or put elsewhere."""

from __future__ import annotations

from dagc.diag.diagnostic import Edit, Fix
from dagc.source import Span
from dagc.syntax.tree import Axis, Option, Scope


def without(node: Axis | Scope, option: Option, safe: bool) -> tuple[Fix, ...]:
    """The fix that takes an option away."""
    return (Fix(f"remove `{option.span.text}`", (Edit(_around(node, option), ""),), safe),)


def moved(node: Axis | Scope, option: Option, target: Axis | Scope) -> tuple[Fix, ...]:
    """The fix that puts an option behind another axis or scope."""
    source = target.span.source
    end = target.options[-1].span.end if target.options else target.span.end
    text = f", {option.span.text}" if target.options else f" [{option.span.text}]"
    edits = (Edit(_around(node, option), ""), Edit(source.span(end, end), text))
    return (Fix(f"write `{option.span.text}` after `{target.span.text}`", edits, safe=False),)


def _around(node: Axis | Scope, option: Option) -> Span:
    """An option with its comma; the only one with its brackets."""
    source, span = option.span.source, option.span
    at = node.options.index(option)
    if len(node.options) == 1:
        start = source.text.rindex("[", node.span.end, span.start)
        end = source.text.index("]", span.end) + 1
        return source.span(len(source.text[:start].rstrip(" ")), end)
    if at == 0:
        return source.span(span.start, node.options[1].span.start)
    return source.span(node.options[at - 1].span.end, span.end)
