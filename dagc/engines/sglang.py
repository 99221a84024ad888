"""How SGLang counts.

`world = tp × pp`: `--tp-size` is all ranks of a stage. Attention dp and cp, and the experts' ep and dp, cut that
number and add no GPU. Without `--enable-dp-attention`, `--dp-size` counts separate copies.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagc.degrees import Degrees, Parallelism
from dagc.engines.counted import Counted, Settings, counted, refused
from dagc.engines.profiles import Profile

FORCING_BACKENDS = ("deepep", "mooncake")
"""All-to-all backends that set ep to tp."""


def settings_of_degrees(degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
    """The settings that degrees as people write them become: dp beside ep is attention's."""
    settings = {axis: degree for axis, degree in degrees.items() if axis in ("tp", "pp", "dp", "ep", "cp")}
    if degrees.get("dp", 1) > 1 and degrees.get("ep", 1) > 1:
        return {**settings, "dp_attention": 1}, ("with `--enable-dp-attention`, dp divides tp and adds no GPU",)
    return settings, ()


def sizes_of_settings(settings: Settings) -> Counted:
    """The sizes of settings, or why SGLang would not start."""
    tp, pp, dp, cp, moe_dp = (settings.get(axis, 1) for axis in ("tp", "pp", "dp", "cp", "moe_dp"))
    ep = tp if settings.get("forcing_backend") else settings.get("ep", 1)
    attention_dp = dp if settings.get("dp_attention") else 1
    problem = _problem(tp, pp, attention_dp, cp, ep, moe_dp)
    if problem:
        return refused(problem)
    attention = Degrees(tp=tp // attention_dp // cp, cp=cp, dp=attention_dp)
    experts = Degrees(tp=tp // ep // moe_dp, ep=ep, dp=moe_dp)
    sizes = Parallelism(attention, experts, pp, replicas=dp // attention_dp)
    copies = f" × {sizes.replicas} copies" if sizes.replicas > 1 else ""
    return counted(
        sizes,
        f"GPUs = tp {tp} × pp {pp}{copies} = {sizes.gpus}",
        f"attention tp = tp {tp} / dp {attention_dp} / cp {cp} = {attention.tp}",
        f"the experts' tp = tp {tp} / ep {ep} / dp {moe_dp} = {experts.tp}",
    )


def _problem(tp: int, pp: int, dp: int, cp: int, ep: int, moe_dp: int) -> str | None:
    """Why SGLang would not start with these, in the order of its own checks."""
    if tp % (dp * cp):
        factors = f"dp {dp} × cp {cp} = {dp * cp}" if cp > 1 else f"dp {dp}"
        return f"tp {tp} must be a multiple of attention's {factors}: `--tp-size` is all ranks of a stage"
    if ep > tp:
        return f"ep {ep} is more than tp {tp}: ep divides `--tp-size`, which is all ranks of a stage"
    if tp % (ep * moe_dp):
        return f"ep {ep} × the experts' dp {moe_dp} must divide tp {tp}"
    return _data_parallel_experts(tp, pp, cp, ep, moe_dp) if moe_dp > 1 else None


def _data_parallel_experts(tp: int, pp: int, cp: int, ep: int, moe_dp: int) -> str | None:
    if pp > 1:
        return f"there is no pipeline (pp {pp}) with data parallel experts (dp {moe_dp})"
    if ep > 1 and ep * moe_dp != tp:
        return f"with data parallel experts, ep {ep} × dp {moe_dp} must be tp {tp}"
    if cp != moe_dp:
        return f"the experts' dp {moe_dp} must be attention's cp {cp}"
    return None


def settings_of_sizes(sizes: Parallelism, profile: Profile) -> Settings | str:
    """The settings of one instance, or why there are none."""
    attention = sizes.attention
    experts = sizes.experts or Degrees(tp=attention.width)
    problem = _problem(attention.width, sizes.stages, attention.dp, attention.cp, experts.ep, experts.dp)
    if problem:
        return problem
    settings = {
        "tp": attention.width,
        "pp": sizes.stages,
        "dp": attention.dp,
        "cp": attention.cp,
        "ep": experts.ep,
        "moe_dp": experts.dp,
    }
    return {**settings, "dp_attention": 1} if attention.dp > 1 else settings
