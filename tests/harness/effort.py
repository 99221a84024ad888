"""How many inputs a property tries: few in the default run where each is costly, more with the thorough profile."""

from __future__ import annotations

from hypothesis import settings


def examples(quick: int, thorough: int) -> int:
    """For `max_examples`; `thorough` with `pytest --hypothesis-profile=thorough`."""
    return thorough if settings.default is settings.get_profile("thorough") else quick
