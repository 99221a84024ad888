"""Parts of a cluster block: the field `calibration` of a device, and the entries `slow`.

`calibration` names a file that `dagc fit` wrote. Without the field a preset keeps its own calibration, unless its
achieved shares are stated: these then hold instead.

`slow 5 by 10 %` is the share by which one GPU computes more slowly. It occurs once for each GPU, so these entries are
read one by one. Whether the rank is one of a strategy's is a matter of its size, and reported there (G102).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dagc.catalog.calibration import LARGEST_FACTOR, SMALLEST_FACTOR, Calibration, read_calibration
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.facts.fields import MISSING_FIELD, REPEATED_FIELD, BlockFields, Field, FieldKind, GivenField, read_fields
from dagc.source import Span, read_file
from dagc.syntax.tree import Entry
from dagc.units import Dimension

UNREADABLE = Code("N160", "calibration-unreadable")

_SHARES = ("efficiency", "memory_efficiency")
_MINIMUM_DIVISOR = {"peak": 1e-9, "memory": 1e-9, "power": 0.01}
"""The least of coefficients that something is divided by; the others may be 0."""

_MOST = 1e12
"""The largest coefficient: seconds, shares, bytes and elements of a device are far below, and products of some stay
numbers.
"""

_MOST_BYTES = 1 << 24
"""Largest calibration that is read. One has some kilobytes."""

_HELP = "write one with `dagc fit TABLE.csv --device NAME -o FILE.json`"


def declare_calibration(
    preset: Calibration | None, device: BlockFields, base_directory: Path
) -> Calibration | Diagnostic | None:
    """The calibration that holds for a device with these fields, or why its file cannot be read."""
    path = device.word("calibration")
    if path is None:
        return None if any(share in device for share in _SHARES) else preset
    return _read(base_directory / path, path, device.fields["calibration"].span)


def _read(path: Path, name: str, place: Span) -> Calibration | Diagnostic:
    try:
        calibration = read_calibration(read_file(path, _MOST_BYTES))
    except OSError as reason:
        return UNREADABLE.at(place, f"cannot read `{name}`: {reason.strerror or reason}", "this file", help=(_HELP,))
    except ValueError as reason:
        first = str(reason).splitlines()[0] if str(reason) else "it is empty"
        return UNREADABLE.at(place, f"`{name}` is not a calibration: {first}", "this file", help=(_HELP,))
    wrong = next(_impossible(calibration), None)
    if wrong is None:
        return calibration
    return UNREADABLE.at(place, f"`{name}` has an impossible coefficient: {wrong}", "this file", help=(_HELP,))


def _impossible(calibration: Calibration) -> Iterator[str]:
    for name, regime in calibration.regimes.items():
        for coefficient, value in regime.coefficients.items():
            minimum = _MINIMUM_DIVISOR.get(coefficient, 0.0)
            if not minimum <= value <= _MOST:
                yield f"`{coefficient}` of `{name}` is {value:g}, not between {minimum:g} and {_MOST:g}"
    for work, factor in calibration.serving.factors.items() if calibration.serving else ():
        if not SMALLEST_FACTOR <= factor <= LARGEST_FACTOR:
            yield f"the factor `{work}` is {factor:g}, not between {SMALLEST_FACTOR:g} and {LARGEST_FACTOR:g}"


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
