"""The field `calibration` of a device: a file that `dagc fit` wrote.

Without the field a preset keeps its own calibration, unless its achieved shares are stated: these then hold instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dagc.catalog.calibration import Calibration, read_calibration
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.facts.fields import BlockFields
from dagc.source import Span, read_file

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
