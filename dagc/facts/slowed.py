"""The `slow` entries of a cluster become the shares by which single GPUs compute more slowly.

`slow 5 by 10 %` occurs once for each GPU, so these entries are read one by one. Whether the rank is one of a
strategy's is a matter of its size, and reported there (G102).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dagc.diag.diagnostic import Diagnostic, Label
from dagc.facts.fields import MISSING_FIELD, REPEATED_FIELD, Field, FieldKind, GivenField, read_fields
from dagc.source import Span
from dagc.syntax.tree import Entry
from dagc.units import Dimension

_HIGHEST = 10**9 - 1

SLOW = Field(
    "slow", minimum=0, maximum=_HIGHEST, then=(Field("by", FieldKind.QUANTITY, Dimension.SHARE, sample="10 %"),),
    sample="5 by 10 %", misnomers=("slowdown", "straggler", "slowed"),
)  # fmt: skip
"""One slowed GPU, by global rank."""


@dataclass(frozen=True, slots=True)
class Slowed:
    """(rank, share) in the order of ranks, each rank once; `spans` by `slow RANK`."""

    shares: tuple[tuple[int, float], ...] = ()
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])


def span_name(rank: int) -> str:
    """The name under which a cluster's spans hold the place of a slowed rank."""
    return f"slow {rank}"


def declare_slowed(entries: tuple[Entry, ...]) -> tuple[Slowed, tuple[Diagnostic, ...]]:
    """All slowed ranks, and what is wrong with their entries."""
    found: dict[int, tuple[float, Entry]] = {}
    problems: list[Diagnostic] = []
    for entry in entries:
        record, wrong = read_fields((entry,), (SLOW,), "cluster")
        problems += wrong
        rank, share = record.count("slow"), record.number("slow_by")
        if wrong or rank is None:
            continue
        if rank in found:
            problems.append(_again(entry, found[rank][1], rank))
        elif share is None:
            problems += _without_share(entry, record.fields.get("slow"))
        else:
            found[rank] = (share, entry)
    ordered = sorted(found.items())
    shares = tuple((rank, share) for rank, (share, _) in ordered)
    return Slowed(shares, {span_name(rank): entry.span for rank, (_, entry) in ordered}), tuple(problems)


def _without_share(entry: Entry, given: GivenField | None) -> tuple[Diagnostic, ...]:
    """Nothing where the share was written with a unit that nobody knows: that was reported by the parser."""
    if given is None or len(entry.values) > 1:
        return ()
    message = f"`{entry.span.text}` needs `by` and a share"
    return (MISSING_FIELD.at(entry.span, message, "no `by` here", help=(f"write it as `slow {SLOW.sample}`",)),)


def _again(entry: Entry, first: Entry, rank: int) -> Diagnostic:
    return REPEATED_FIELD.at(
        entry.span,
        f"rank {rank} is slowed twice in one `cluster` block",
        "slowed again",
        labels=(Label(first.span, "first slowed here"),),
        help=("keep one of them",),
    )
