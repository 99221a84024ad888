"""How Megatron-Core counts.

`world = tp × cp × pp × dp`, with dp what the number of ranks leaves over; the experts cut the same ranks anew as
`etp × ep × edp × pp`. Without `--expert-tensor-parallel-size` the experts' tp is tp.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm

from dagc.degrees import Degrees, Parallelism
from dagc.engines.counted import Counted, Settings, counted, refused
from dagc.engines.profiles import Profile


def settings_of_degrees(degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
    """The settings that degrees as people write them become: dp gives the number of ranks."""
    tp, pp, dp, ep, cp = (degrees.get(axis, 1) for axis in ("tp", "pp", "dp", "ep", "cp"))
    return {"tp": tp, "pp": pp, "cp": cp, "ep": ep, "world": tp * cp * pp * dp}, ()


def sizes_of_settings(settings: Settings) -> Counted:
    """The sizes of settings, or why Megatron-Core would not start. Without `world`, the fewest ranks that will do."""
    tp, pp, cp, ep = (settings.get(axis, 1) for axis in ("tp", "pp", "cp", "ep"))
    etp = settings.get("etp", tp)
    world = settings.get("world", pp * lcm(tp * cp, etp * ep))
    if world % (tp * cp * pp):
        return refused(f"the {world} ranks are no multiple of tp {tp} × cp {cp} × pp {pp} = {tp * cp * pp}")
    if world % (etp * ep * pp):
        return refused(
            f"the {world} ranks are no multiple of the experts' tp {etp} × ep {ep} × pp {pp} = {etp * ep * pp}"
        )
    width = world // pp
    attention = Degrees(tp=tp, cp=cp, dp=width // (tp * cp))
    experts = Degrees(tp=etp, ep=ep, dp=width // (etp * ep))
    sizes = Parallelism(attention, experts, pp)
    return counted(
        sizes,
        f"GPUs = tp {tp} × cp {cp} × pp {pp} × dp {attention.dp} = {world}",
        f"the experts on the same ranks: tp {etp} × ep {ep} × dp {experts.dp} × pp {pp} = {world}",
    )


def settings_of_sizes(sizes: Parallelism, profile: Profile) -> Settings | str:
    """The settings of one instance: Megatron-Core takes any two cuts of the same ranks."""
    attention, experts = sizes.attention, sizes.experts
    settings = {"tp": attention.tp, "pp": sizes.stages, "cp": attention.cp, "world": sizes.gpus_per_replica}
    return settings if experts is None else {**settings, "ep": experts.ep, "etp": experts.tp}
