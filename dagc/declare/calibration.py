"""The field `calibration` of a device: a file that `dagc fit` wrote.

Without the field a preset keeps its own calibration, unless its achieved shares are stated: these then hold instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path

from dagc.catalog.calibration import Calibration, read_calibration
from dagc.declare.fields import Record
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.source import Span, read_file

UNREADABLE = Code("N160", "calibration-unreadable")

_SHARES = ("efficiency", "memory_efficiency")
_DIVISORS = ("peak", "memory", "power")

_MOST_BYTES = 1 << 24
"""Largest calibration that is read. One has some kilobytes."""

_HELP = "write one with `dagc fit TABLE.csv --device NAME -o FILE.json`"


def declare_calibration(
    preset: Calibration | None, device: Record, base_directory: Path
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
        return UNREADABLE.at(place, f"`{name}` is no calibration: {first}", "this file", help=(_HELP,))
    wrong = next(_impossible(calibration), None)
    if wrong is None:
        return calibration
    return UNREADABLE.at(place, f"`{name}` has an impossible coefficient: {wrong}", "this file", help=(_HELP,))


def _impossible(calibration: Calibration) -> Iterator[str]:
    for name, regime in calibration.regimes.items():
        for coefficient, value in regime.coefficients.items():
            if not 0 <= value < inf or (value == 0 and coefficient in _DIVISORS):
                yield f"`{coefficient}` of `{name}` is {value:g}"
