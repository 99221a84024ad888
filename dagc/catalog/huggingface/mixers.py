"""Recurrent mixers of each family, from the fields of a configuration.

Widths follow the modules of the `transformers` library and of vLLM: the projections of the input, the channels of the
convolution, what else the layer holds (decays, biases, low-rank gates), and its state.
"""

from __future__ import annotations

from math import ceil

from dagc.catalog.dtype import Dtype
from dagc.catalog.huggingface.attention import head_dim
from dagc.catalog.huggingface.fields import Config, UnsupportedField, shown
from dagc.catalog.recurrent import Recurrent, RecurrentKind

_STATES = {"float32": Dtype.FP32, "bfloat16": Dtype.BF16, "float16": Dtype.FP16}


def gated_delta_net(config: Config) -> Recurrent:
    """Qwen3-Next and Qwen3.5: queries, keys, values and a gate, two numbers a head, a decay and a bias a head."""
    keys = config.count("linear_num_key_heads") * config.count("linear_key_head_dim")
    heads, width = config.count("linear_num_value_heads"), config.count("linear_value_head_dim")
    values = heads * width
    return Recurrent(
        RecurrentKind.GATED_DELTA_NET,
        heads=heads,
        columns=2 * keys + 2 * values + 2 * heads,
        inner=values,
        channels=2 * keys + values,
        kernel=config.count("linear_conv_kernel_dim"),
        state=heads * config.count("linear_key_head_dim") * width,
        other=2 * heads,
        norm=width,
        state_dtype=_state_dtype(config, "mamba_ssm_dtype"),
    )


def kimi_delta(config: Config) -> Recurrent:
    """Kimi Linear: queries, keys, values, a number a head, and a low-rank gate of rank `head_dim` for the decay.

    The gate of the result is another of that rank, or has a full matrix (`use_full_rank_gate`, Kimi-K3).
    """
    heads, width = config.count("linear_attn_config.num_heads"), config.count("linear_attn_config.head_dim")
    inner = heads * width
    is_full = config.flag("linear_attn_config.use_full_rank_gate")
    return Recurrent(
        RecurrentKind.KIMI_DELTA,
        heads=heads,
        columns=3 * inner + heads + width + (inner if is_full else width),
        inner=inner,
        channels=3 * inner,
        kernel=config.count("linear_attn_config.short_conv_kernel_size"),
        state=inner * width,
        other=(1 if is_full else 2) * width * inner + heads + inner,
        norm=width,
    )


def lightning(config: Config) -> Recurrent:
    """MiniMax-01 and M1: queries, keys, values and an output gate, all of every head; a norm over all heads."""
    heads, width = config.count("num_attention_heads"), head_dim(config)
    inner = heads * width
    return Recurrent(
        RecurrentKind.LIGHTNING, heads, columns=4 * inner, inner=inner, channels=0, kernel=1,
        state=inner * width, norm=inner,
    )  # fmt: skip


def mamba2(config: Config) -> Recurrent:
    """Nemotron-H, Bamba and Granite: a gate, values, B and C of each group, a step a head; decay, D and bias a head."""
    heads = config.count("mamba_num_heads", "mamba_n_heads")
    # The inner width is that of the heads, whatever a factor of the hidden size says.
    config.without_effect("expand", "mamba_expand")
    inner = heads * config.count("mamba_head_dim", "mamba_d_head")
    size = config.count("ssm_state_size", "mamba_d_state")
    channels = inner + 2 * config.count("n_groups", "mamba_n_groups") * size
    conv_bias = channels if config.flag(config.first("use_conv_bias", "mamba_conv_bias"), True) else 0
    columns = inner + channels + heads
    bias = columns + config.hidden() if config.flag(config.first("use_bias", "mamba_proj_bias")) else 0
    return Recurrent(
        RecurrentKind.MAMBA2,
        heads=heads,
        columns=columns,
        inner=inner,
        channels=channels,
        kernel=config.count("conv_kernel", "mamba_d_conv"),
        state=inner * size,
        other=3 * heads + conv_bias + bias,
        norm=inner,
        state_dtype=_state_dtype(config, "mamba_ssm_cache_dtype"),
    )


def mamba(config: Config) -> Recurrent:
    """Jamba: a gate and values; step, B and C are projected from the values; norms of these three."""
    hidden, size = config.hidden(), config.count("mamba_d_state")
    inner = config.count("mamba_expand") * hidden
    rank = ceil(hidden / 16) if config.get("mamba_dt_rank") == "auto" else config.count("mamba_dt_rank")
    bias = 2 * inner + hidden if config.flag("mamba_proj_bias") else 0
    conv_bias = inner if config.flag("mamba_conv_bias", True) else 0
    return Recurrent(
        RecurrentKind.MAMBA,
        heads=inner,
        columns=2 * inner,
        inner=inner,
        channels=inner,
        kernel=config.count("mamba_d_conv"),
        state=inner * size,
        other=inner * (rank + 2 * size) + rank * inner + inner + inner * size + inner + conv_bias + bias,
        norm=rank + 2 * size,
    )


def short_conv(config: Config) -> Recurrent:
    """LFM2: three columns for each channel, of which two gate the convolution of the third."""
    hidden = config.hidden()
    bias = 5 * hidden if config.flag("conv_bias") else 0
    return Recurrent(
        RecurrentKind.SHORT_CONV, hidden, columns=3 * hidden, inner=hidden, channels=hidden,
        kernel=config.count("conv_L_cache"), state=0, other=bias,
    )  # fmt: skip


def _state_dtype(config: Config, field: str) -> Dtype:
    """The type of the state; fp32 where the file does not say, which is what the libraries keep."""
    name = config.get(field)
    if name is None:
        return Dtype.FP32
    if str(name) not in _STATES:
        raise UnsupportedField(field, f"is {shown(name)}; known are {', '.join(_STATES)}")
    return _STATES[str(name)]
