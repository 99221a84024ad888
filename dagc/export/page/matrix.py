"""The communication matrix of a phase: who sends how much to whom, blocks of ranks against each other.

Turns `Traffic` into a table whose cells are shaded by the logarithm of their bytes; the numbers stand in them.
"""

from __future__ import annotations

from math import log

from markupsafe import Markup

from dagc.export.page.markup import tag
from dagc.export.traffic import Traffic
from dagc.units import format_bytes, format_share

_SHADES = 8


def drawn_matrix(title: str, found: Traffic) -> Markup | None:
    """The matrix with its heading; None where nothing is sent."""
    if not found.total:
        return None
    names = [_ranks(first, last) for first, last in found.ranks]
    head = tag("tr", tag("td"), (tag("th", name, scope="col") for name in names))
    rows = (tag("tr", tag("th", name, scope="row"), _cells(found, i, names)) for i, name in enumerate(names))
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="matrix")
    told = f"{format_bytes(found.total)} between ranks, {format_share(found.between_nodes / found.total)} between nodes"
    of_ranks = f"; blocks of {found.block} ranks" if found.block > 1 else ""
    caption = tag("figcaption", tag("h3", title), tag("p", told + of_ranks, class_="hint"))
    return tag("figure", caption, tag("div", table, class_="wide", tabindex="0", role="region", aria_label=title))


def _cells(found: Traffic, row: int, names: list[str]) -> Markup:
    whole = Markup("")
    for column, name in enumerate(names):
        sent = float(found.sent[row, column])
        title = f"{names[row]} to {name}: {format_bytes(sent)}" if sent > 0.5 else None
        words = format_bytes(sent) if title else None
        number, _, unit = (words or "").partition(" ")
        whole += tag("td", number, tag("small", unit) if unit else None, class_=_shade(found, sent), title=title)
    return whole


def _shade(found: Traffic, sent: float) -> str | None:
    """A shade a factor of 2, the darkest for the most."""
    if sent <= 0.5:
        return None
    return f"s{max(1, _SHADES - int(log(float(found.sent.max()) / sent, 2)))}"


def _ranks(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"
