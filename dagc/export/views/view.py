"""A picture before any drawing: what is shown, in which words, what is folded. Immutable, and ignorant of Graphviz.

Names are unique in a view and become identities in the SVG, so that other views can link to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dagc.graph.priced import Bound
from dagc.plan.deployment import Role


class Distance(StrEnum):
    """From how far the graph is seen."""

    DEPLOYMENT = "deployment"
    STAGE = "stage"
    LAYER = "layer"
    RANK = "rank"

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return "graph" if self is Distance.LAYER else self.value


class BoxShape(StrEnum):
    """What a box represents."""

    COMPUTE = "compute"
    COMMUNICATION = "communication"
    ROUTING = "routing"
    CARD = "card"
    CHIP = "chip"
    TABLE = "table"


class ArrowKind(StrEnum):
    """What an arrow represents."""

    DATA = "data"
    CHOICE = "choice"
    ORDER = "order"
    MESSAGE = "message"
    SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from the left: parts by what bounds them, as shares of its full length, at most 1 together.

    `whole` where what is left of its length is drawn too: as idle or free.
    """

    parts: tuple[tuple[Bound, float], ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class LoadTile:
    """A cell filled by load: `share` of the slowest, at most 1. `hover` is shown when a pointer rests on it."""

    text: str
    share: float
    hover: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gpus:
    """A row of the GPUs of a node, True for each that is the card's own. `kind` says what they do, `text` which they
    are.
    """

    own: tuple[bool, ...]
    kind: str
    text: str


Words = str | Bar | Gpus


@dataclass(frozen=True, slots=True)
class Sign:
    """The kind of an operator, as a small shape at the right end of a cell with room for so many `lanes` of arrows."""

    shape: BoxShape
    lanes: int = 0
    critical: bool = False
    fused: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """An arrow between two rows of a table, by number: beside the signs in lane 0, else in a lane left of them."""

    tail: int
    head: int
    line: ArrowKind
    critical: bool = False
    lane: int = 0


Cell = Words | LoadTile | Sign


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table: its head and one entry a row."""

    head: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """One thing. The first of `lines` is its name.

    `hover` is shown when a pointer rests on it; `link` is the address of the same thing in another view. `folded` where
    it represents several. `slowest` where it is marked as the slowest, which is where `critical` marks nothing. A table
    has `columns` of equal length, a hover text for each row where it has `hovers`, and arrows between rows, which begin
    at its signs.
    """

    name: str
    shape: BoxShape
    lines: tuple[Words, ...]
    hover: tuple[str, ...] = ()
    link: str = ""
    critical: bool = False
    folded: bool = False
    slowest: bool = False
    columns: tuple[TableColumn, ...] = ()
    hovers: tuple[tuple[str, ...], ...] = ()
    flows: tuple[Flow, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Boxes and clusters inside a frame.

    `slowest` as of a box. `beside` names boxes, one of each of several members, that are beside each other across
    the picture's direction; `chains` those that are one behind another along it.
    """

    name: str
    lines: tuple[str, ...]
    members: tuple[Box | Cluster, ...]
    role: Role | None = None
    hover: tuple[str, ...] = ()
    link: str = ""
    folded: bool = False
    slowest: bool = False
    beside: tuple[str, ...] = ()
    chains: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another. `orders` when the head must be after the tail.

    `returns` where something comes back. `level` when both ends are at one place along the picture's direction.
    `leaves` and `enters` name the clusters at whose frames it begins and ends, where it is one between those.
    """

    tail: str
    head: str
    line: ArrowKind
    label: tuple[str, ...] = ()
    hover: tuple[str, ...] = ()
    critical: bool = False
    orders: bool = True
    returns: bool = False
    level: bool = False
    leaves: str = ""
    enters: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A picture. `name` says in full what of.

    `title` has the strategy and its figures, `notes` how to read it and what is folded.
    `across` when it runs from left to right. `others` are the distances that it links to.
    `page` is the width in points on which its frames are packed, 0 where they stay as a layout engine places them.
    """

    distance: Distance
    name: str
    title: tuple[str, ...]
    notes: tuple[str, ...]
    members: tuple[Box | Cluster, ...]
    arrows: tuple[Arrow, ...]
    across: bool = False
    others: frozenset[Distance] = frozenset()
    page: float = 0.0

    def boxes(self) -> Iterator[Box]:
        """All boxes, however deep."""
        return _boxes(self.members)

    def clusters(self) -> Iterator[Cluster]:
        """All clusters, outer ones first."""
        return _clusters(self.members)


def _boxes(members: tuple[Box | Cluster, ...]) -> Iterator[Box]:
    for member in members:
        if isinstance(member, Box):
            yield member
        else:
            yield from _boxes(member.members)


def _clusters(members: tuple[Box | Cluster, ...]) -> Iterator[Cluster]:
    for member in members:
        if isinstance(member, Cluster):
            yield member
            yield from _clusters(member.members)
