"""What dagc does, one pipeline a file, and the only place that knows the order of the steps.

`check` runs everything but the exports, and `export` turns what it returns into files. `fix` applies what `check`
offers, `compare` sets plans side by side, `launch` writes an engine's flags, `memory` tells what each GPU holds, `read`
finds what a flat notation means, `fit` makes a calibration of measurements, `validate` holds predictions against cited
ones, `validate_own` against those of a user, `search` finds the best strategies, `whatif` prices a plan with each of
its parameters changed, `recompile` makes the pages of a plan that is being written. Each is imported when it is first
asked for, because start-up counts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagc.driver.asking import whatif
    from dagc.driver.checking import check
    from dagc.driver.comparing import compare
    from dagc.driver.exporting import comparison_page, export, outlook
    from dagc.driver.fitting import covered, fit
    from dagc.driver.fixing import fix
    from dagc.driver.launching import launch
    from dagc.driver.outcome import Checked, Outcome
    from dagc.driver.reading import read
    from dagc.driver.searching import search
    from dagc.driver.validating import validate, validate_own
    from dagc.driver.watching import recompile
    from dagc.driver.weighing import memory

__all__ = [
    "Checked",
    "Outcome",
    "check",
    "compare",
    "comparison_page",
    "covered",
    "export",
    "fit",
    "fix",
    "launch",
    "memory",
    "outlook",
    "read",
    "recompile",
    "search",
    "validate",
    "validate_own",
    "whatif",
]

_PLACES = {
    "check": "checking", "compare": "comparing", "comparison_page": "exporting", "export": "exporting",
    "covered": "fitting", "fit": "fitting", "fix": "fixing", "launch": "launching", "memory": "weighing",
    "outlook": "exporting",
    "read": "reading",
    "recompile": "watching", "search": "searching", "validate": "validating", "validate_own": "validating",
    "whatif": "asking", "Checked": "outcome", "Outcome": "outcome",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"dagc.driver.{_PLACES[name]}"), name)
