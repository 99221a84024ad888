"""How many errors and warnings there are, in words."""

from __future__ import annotations

from collections.abc import Sequence

from dagc.diag.diagnostic import Diagnostic


def tally(diagnostics: Sequence[Diagnostic]) -> str:
    """E.g. `2 errors, 1 warning`; empty for none."""
    errors = sum(d.is_error for d in diagnostics)
    counts = ((errors, "error"), (len(diagnostics) - errors, "warning"))
    return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)
