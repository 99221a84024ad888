"""How vLLM counts.

`world = pp × pcp × tp`, times dp in total. Expert parallelism is a switch: on, the experts of each stage are one group
of tp × pcp × dp ranks and no expert is cut; off, every expert is cut over those ranks.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagc.degrees import Degrees, Parallelism
from dagc.engines.counted import Counted, Settings, counted
from dagc.engines.profiles import Profile


def settings_of_degrees(degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
    """The settings that degrees as people write them become, and what changes on the way."""
    settings = {axis: degrees[axis] for axis in ("tp", "pp", "dp", "cp") if axis in degrees}
    if degrees.get("ep", 1) == 1:
        return settings, ()
    group = settings.get("tp", 1) * settings.get("cp", 1) * settings.get("dp", 1)
    if group == degrees["ep"]:
        return {**settings, "expert_parallel": 1}, ()
    note = f"ep is a switch without a degree: ep {degrees['ep']} becomes tp × pcp × dp = {group}"
    return {**settings, "expert_parallel": 1}, (note,)


def sizes_of_settings(settings: Settings) -> Counted:
    """The sizes of settings."""
    tp, cp, dp, pp = (settings.get(axis, 1) for axis in ("tp", "cp", "dp", "pp"))
    group = tp * cp * dp
    is_parallel = settings.get("expert_parallel", 0)
    experts = Degrees(ep=group) if is_parallel else Degrees(tp=group)
    sizes = Parallelism(Degrees(tp=tp, cp=cp, dp=dp), experts, pp)
    what = "ep" if is_parallel else "the experts' tp"
    return counted(
        sizes,
        f"GPUs = pp {pp} × pcp {cp} × tp {tp} × dp {dp} = {sizes.gpus}",
        f"{what} = tp {tp} × pcp {cp} × dp {dp} = {group}, one group in each stage",
    )


def settings_of_sizes(sizes: Parallelism, profile: Profile) -> Settings | str:
    """The settings of one instance, or why there are none."""
    attention = sizes.attention
    if attention.cp > 1 and not profile.context_parallel:
        return f"{profile.version} has no prefill context parallelism, and cp is {attention.cp}"
    settings = {"tp": attention.tp, "cp": attention.cp, "dp": attention.dp, "pp": sizes.stages}
    experts = sizes.experts
    if experts is None or experts.tp == attention.width:
        return settings
    if experts.ep == attention.width:
        return {**settings, "expert_parallel": 1}
    width = attention.width
    return (
        f"experts of ep {experts.ep} × tp {experts.tp} × dp {experts.dp} are neither one group of the {width} ranks of "
        f"a stage (ep {width}) nor each cut over all of them (tp {width})"
    )
