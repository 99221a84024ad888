"""How an engine would count degrees that people write without saying how they are meant (`tp 8, dp 8, ep 8`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

from dagc.degrees import Parallelism
from dagc.engines import megatron, sglang, trtllm, vllm
from dagc.engines.counted import Counted, Settings, refused
from dagc.engines.profiles import Profile

_COUNTING: Mapping[str, ModuleType] = {"vllm": vllm, "sglang": sglang, "trtllm": trtllm, "megatron": megatron}


def count(engine: str, degrees: Mapping[str, int]) -> Counted:
    """What an engine of `ENGINES` makes of degrees by axis, with keys among tp, pp, dp, ep, cp; those absent are 1.

    The model is taken to have experts.
    """
    below = [f"{axis} {degree}" for axis, degree in degrees.items() if degree < 1]
    if below:
        return refused(f"a degree counts parts, so it is at least 1: {', '.join(below)}")
    settings, notes = _COUNTING[engine].settings_of_degrees(degrees)
    found = sizes_of_settings(engine, settings)
    return replace(found, steps=(*notes, *found.steps))


def sizes_of_settings(engine: str, settings: Settings) -> Counted:
    """What an engine makes of its own settings."""
    counted: Counted = _COUNTING[engine].sizes_of_settings(settings)
    return counted


def settings_of_sizes(profile: Profile, sizes: Parallelism) -> Settings | str:
    """The settings with which one instance of an engine has these sizes, or why it cannot have them."""
    settings: Settings | str = _COUNTING[profile.name].settings_of_sizes(sizes, profile)
    return settings
