"""How TensorRT-LLM counts.

`world = tp × pp × cp`, and `tp = moe_tp × moe_ep`: both cuts of the experts lie inside tp. Attention takes all of tp as
tensor parallelism, or, with `enable_attention_dp`, all of it as data parallelism.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagc.degrees import Degrees, Parallelism
from dagc.engines.counted import Counted, Settings, counted, refused
from dagc.engines.profiles import Profile


def settings_of_degrees(degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
    """The settings that degrees as people write them become: dp can only be attention's."""
    settings = {axis: degree for axis, degree in degrees.items() if axis in ("tp", "pp", "cp", "ep", "dp")}
    if degrees.get("dp", 1) == degrees.get("tp", 1) > 1:
        del settings["dp"]
        return {**settings, "attention_dp": 1}, ("`enable_attention_dp` makes tp attention's dp and adds no GPU",)
    return settings, ()


def sizes_of_settings(settings: Settings) -> Counted:
    """The sizes of settings, or why TensorRT-LLM would not start."""
    tp, pp, cp, dp = (settings.get(axis, 1) for axis in ("tp", "pp", "cp", "dp"))
    if dp > 1:
        return refused(
            f"attention is all tp or all dp: dp can be 1 or tp {tp}, not {dp}; copies of a model are separate instances"
        )
    moe_tp, ep = _experts(settings)
    if moe_tp * ep != tp:
        return refused(f"tp {tp} must be moe_tp × moe_ep, and moe_tp {moe_tp} × moe_ep {ep} is not")
    if ep > 1 and cp > 1:
        return refused(f"there is no context parallelism (cp {cp}) with expert parallelism (ep {ep})")
    attention = Degrees(cp=cp, dp=tp) if settings.get("attention_dp") else Degrees(tp=tp, cp=cp)
    sizes = Parallelism(attention, Degrees(tp=moe_tp, ep=ep, dp=cp), pp)
    return counted(
        sizes,
        f"GPUs = tp {tp} × pp {pp} × cp {cp} = {sizes.gpus}",
        f"attention: tp {attention.tp} × dp {attention.dp}",
        f"the experts: tp {tp} = moe_tp {moe_tp} × moe_ep {ep}",
    )


def _experts(settings: Settings) -> tuple[int, int]:
    """moe_tp and moe_ep; what is left out is what the other leaves over of tp, rounded down."""
    tp, moe_tp, ep = settings.get("tp", 1), settings.get("moe_tp"), settings.get("ep")
    if moe_tp is None and ep is None:
        return tp, 1
    if moe_tp is None:
        moe_tp = tp // (ep or 1)
    return moe_tp, tp // moe_tp if ep is None else ep


def settings_of_sizes(sizes: Parallelism, profile: Profile) -> Settings | str:
    """The settings of one instance, or why there are none."""
    attention = sizes.attention
    if attention.tp > 1 and attention.dp > 1:
        return f"attention is all tp or all dp, and tp {attention.tp} × dp {attention.dp} is something between"
    tp = attention.tp * attention.dp
    settings = {"tp": tp, "pp": sizes.stages, "cp": attention.cp, "attention_dp": int(attention.dp > 1)}
    experts = sizes.experts
    if experts is None:
        return settings
    if experts.ep > 1 and attention.cp > 1:
        return f"there is no context parallelism (cp {attention.cp}) with expert parallelism (ep {experts.ep})"
    if experts.tp * experts.ep != tp:
        return (
            f"tp {tp} must be moe_tp × moe_ep, and tp {experts.tp} × ep {experts.ep} of the experts "
            f"is {experts.tp * experts.ep}"
        )
    return {**settings, "moe_tp": experts.tp, "ep": experts.ep}
