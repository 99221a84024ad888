"""What each engine makes of a notation: its flags where the text is a command line, its degrees otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from dagc.engines.engine import Counted, Engine
from dagc.engines.registry import engines
from dagc.notation.parse import Notation


def counts(notation: Notation) -> Mapping[str, Counted]:
    """The counting of every engine by name, that of the command line first."""
    ordered = sorted(engines(), key=lambda engine: engine.name != notation.engine)
    return {engine.name: _count(engine, notation) for engine in ordered}


def _count(engine: Engine, notation: Notation) -> Counted:
    if engine.name == notation.engine:
        return engine.read(notation.flags)
    return engine.count({degree.axis.value: degree.value for degree in notation.degrees})
