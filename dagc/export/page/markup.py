"""HTML and SVG elements, escaped by construction: what is not `Markup` is text and is shown as text.

Turns names, attributes and children into `Markup`. Characters that would hide or reorder their neighbours (controls,
marks of direction, lone surrogates) are shown as escapes, as diagnostics show them in a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from markupsafe import Markup
from markupsafe import escape as escape_markup

from dagc.diag.text import escape as visible

Child = object
"""Markup, text, a number, None for nothing, or an iterable of these."""

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


def tag(name: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element. In names of attributes `_` stands for `-`, one at the end for nothing; None and False leave out."""
    opened = Markup(f"<{name}{_attributes(attributes)}>")
    return opened if name in _VOID else Markup(f"{opened}{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Children one after the other."""
    return Markup("").join(_child(child) for child in children)


def text(content: str) -> Markup:
    """Text as markup that shows it."""
    return escape_markup(visible(content))


def ticked(content: str) -> Markup:
    """Text in which what stands between backquotes is code."""
    pieces = content.split("`")
    if len(pieces) % 2 == 0:
        return text(content)
    return joined(tag("code", piece) if index % 2 else piece for index, piece in enumerate(pieces))


def _child(child: Child) -> Markup:
    if child is None:
        return Markup("")
    if isinstance(child, Markup):
        return child
    if isinstance(child, Iterable) and not isinstance(child, str):
        return joined(cast("Iterable[Child]", child))
    return text(str(child))


def _attributes(attributes: dict[str, str | float | bool | None]) -> str:
    kept = ((name, value) for name, value in attributes.items() if value is not None and value is not False)
    return "".join(_attribute(name.rstrip("_").replace("_", "-"), value) for name, value in kept)


def _attribute(name: str, value: str | float) -> str:
    if value is True:
        return f" {name}"
    return f' {name}="{value if isinstance(value, Markup) else text(_number(value))}"'


def _number(value: str | float) -> str:
    """Numbers as coordinates: two decimals, none that say nothing."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
