"""An instance becomes an engine's settings, or the reason why the engine has none for it.

Sizes come first, then the options that not every engine has.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.engines.counted import Settings
from dagc.engines.counting import settings_of_sizes
from dagc.engines.instance import Instance
from dagc.engines.profiles import Profile

_LACKING = {
    "vllm": frozenset[str](),
    "sglang": frozenset({"dcp"}),
    "trtllm": frozenset({"layers", "overlap", "dcp"}),
    "megatron": frozenset({"redundant", "overlap", "dcp"}),
}
"""Options without which an engine of the profile's version does."""


def express(profile: Profile, instance: Instance) -> Settings | str:
    """The settings of one instance, or why it cannot be expressed."""
    settings = settings_of_sizes(profile, instance.sizes)
    if isinstance(settings, str):
        return settings
    reason = lacking_phase(profile, instance) or next(lacking_options(profile, instance), None)
    return reason or {**settings, **_options(profile, instance)}


def lacking_phase(profile: Profile, instance: Instance) -> str | None:
    """Why an engine cannot run one phase alone."""
    if instance.phase is None or profile.name != "megatron":
        return None
    return f"there are no instances of {instance.phase} alone"


def lacking_options(profile: Profile, instance: Instance) -> Iterator[str]:
    """A reason for each option that is written and that the engine does not have."""
    for name in _written(instance):
        if name in _LACKING[profile.name]:
            yield f"{profile.title} {profile.version} does not support `[{name}]`"
    if profile.name == "megatron" and instance.layers and len(set(instance.layers[1:-1])) > 1:
        yield f"{profile.title} supports one layer count for the first stage, one for the last, one for all between"


def _written(instance: Instance) -> Iterator[str]:
    if instance.layers:
        yield "layers"
    if instance.redundant:
        yield "redundant"
    if instance.overlap > 1:
        yield "overlap"
    if instance.decode_context > 1:
        yield "dcp"


def _options(profile: Profile, instance: Instance) -> Settings:
    settings: dict[str, int] = {}
    if instance.redundant:
        settings |= {"eplb": 1, "redundant": instance.redundant}
    if instance.overlap > 1:
        settings["overlap"] = 1
    if instance.decode_context > 1:
        settings["dcp"] = instance.decode_context
    if profile.name == "megatron" and instance.sequence_parallel:
        settings["sp"] = 1
    return settings
