"""HTML elements and documents, escaped by construction: what is not `Markup` is text and is shown as text.

Turns names, attributes and children into `Markup`. Characters that would hide or reorder their neighbours (controls,
marks of direction, lone surrogates) are shown as escapes, as diagnostics show them in a terminal.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import cast

from markupsafe import Markup
from markupsafe import escape as escape_markup

from dagc.diag.text import escape as visible

Child = object
"""Markup, text, a number, None for nothing, or an iterable of these."""

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


def tag(name: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element. In names of attributes `_` becomes `-`, one at the end for nothing; None and False leave out."""
    start = Markup(f"<{name}{_attributes(attributes)}>")
    return start if name in _VOID else Markup(f"{start}{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Children one after the other."""
    return Markup("").join(_child(child) for child in children)


def table(heads: Iterable[str], rows: Child, /, **attributes: str | float | bool | None) -> Markup:
    """A table with a row of heads, of which an empty one is an empty cell, and rows below it."""
    head = tag("tr", (tag("th", name, scope="col") if name else tag("td") for name in heads))
    return tag("table", tag("thead", head), tag("tbody", rows), **attributes)


def scrolled(label: str, content: Markup) -> Markup:
    """What may be wider than the page, as a region of its own that scrolls."""
    return tag("div", content, class_="wide", tabindex="0", role="region", aria_label=label)


def zoom_buttons(attribute: str, *actions: str) -> Iterator[Markup]:
    """Buttons whose action the page's script finds in an attribute: `in`, `out`, `width`, `all`."""
    for action in actions:
        label, title = _ZOOMS[action]
        named: dict[str, str] = {attribute: action, "title": title, "aria_label": title}
        yield tag("button", label, type="button", **named)


_ZOOMS = {
    "in": ("+", "Zoom in"), "out": ("−", "Zoom out"), "width": ("width", "Fit the width"), "all": ("all", "Show all"),
}  # fmt: skip


def text(content: str) -> Markup:
    """Text as markup that shows it."""
    return escape_markup(visible(content))


def ticked(content: str) -> Markup:
    """Text in which what is between backquotes is code."""
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
    """An attribute; numbers are coordinates: two decimals, none that say nothing."""
    if value is True:
        return f" {name}"
    if not isinstance(value, str):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{value if isinstance(value, Markup) else text(value)}"'


def document(title: str, body: Markup, style: str, script: str, may_also: str = "") -> bytes:
    """A whole HTML document, in UTF-8, that may load nothing and run only this script, or none where it is empty.

    `may_also` are further directives of its policy, each ended by `; `.
    """
    own = "style-src 'unsafe-inline'" + (f"; script-src '{_digest(script)}'" if script else "")
    policy = f"default-src 'none'; {may_also}{own}; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(policy)),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    if script:
        body = body.removesuffix("</body>") + tag("script", Markup(script)) + Markup("</body>")
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n".encode()


def asset(name: str) -> str:
    """The text of a style or script that lies beside this module."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """How a policy names a script that may run."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
