"""What each engine makes of a notation: its flags where the text is a command line, its degrees otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from dagc.engines.counted import Counted, refused
from dagc.engines.counting import count, sizes_of_settings
from dagc.engines.flags import read_flags
from dagc.engines.profiles import ENGINES
from dagc.flat.notation import FlatAxis, Notation


def counts(notation: Notation) -> Mapping[str, Counted]:
    """The counting of every engine, that of the command line first."""
    names = sorted(ENGINES, key=lambda name: (name != notation.engine, ENGINES.index(name)))
    return {name: _count(name, notation) for name in names}


def _count(engine: str, notation: Notation) -> Counted:
    if engine == notation.engine:
        return read_flags(engine, notation.flags)
    degrees = {degree.axis.value: degree.value for degree in notation.degrees}
    expert_tp = degrees.pop(FlatAxis.ETP.value, None)
    return count(engine, degrees) if expert_tp is None else _with_expert_tp(engine, degrees, expert_tp)


def _with_expert_tp(engine: str, degrees: Mapping[str, int], expert_tp: int) -> Counted:
    """Megatron-Core has the setting; elsewhere the experts' tp follows from the others, and must come out the same."""
    counted = count(engine, degrees)
    if engine == "megatron":
        ranks = degrees.get("tp", 1) * degrees.get("cp", 1) * degrees.get("pp", 1) * degrees.get("dp", 1)
        return sizes_of_settings(engine, {**degrees, "etp": expert_tp, "world": ranks})
    experts = counted.sizes.experts if counted.sizes else None
    if experts is None or experts.tp == expert_tp:
        return counted
    return refused(f"the experts' tp follows from the other degrees and would be {experts.tp}, not {expert_tp}")
