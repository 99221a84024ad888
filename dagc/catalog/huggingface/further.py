"""Further fields of a model that single architectures have, beside attention, layers and experts."""

from __future__ import annotations

from typing import Any

from dagc.catalog.huggingface.fields import LARGEST_FACTOR, Config, InvalidField, shown


def mlp_bias(config: Config) -> dict[str, Any]:
    """Biases in dense layers (Llama)."""
    return {"ffn_bias": config.flag("mlp_bias")}


def starcoder(config: Config) -> dict[str, Any]:
    """The same under another name (StarCoder2)."""
    return {"ffn_bias": config.flag("use_bias", True)}


def phimoe(config: Config) -> dict[str, Any]:
    """A bias of the head (Phi-3.5-MoE)."""
    return {"head_bias": config.flag("lm_head_bias")}


def gemma4(config: Config) -> dict[str, Any]:
    """A scalar a layer; three norms more with experts; embeddings of single layers where they have a width."""
    width = config.count_or(0, "hidden_size_per_layer_input")
    moe = {"norms_per_layer": 7} if config.flag("enable_moe_block") else {}
    config.without_effect("vocab_size_per_layer_input")
    if not width:
        return {"other": 1, **moe}
    layers, hidden = config.layers(), config.hidden()
    rows = config.count("vocab_size_per_layer_input") + hidden
    return {"other": 1 + 2 * hidden * width + hidden, "other_final": rows * layers * width + width, **moe}


def hyper_connections(config: Config) -> dict[str, Any]:
    """DeepSeek-V4: n residual streams, mixed around each of the two blocks of a layer, and before the head."""
    streams, hidden = config.count("hc_mult"), config.hidden()
    mixes = (2 + streams) * streams
    return {
        "other": 2 * (mixes * streams * hidden + mixes + 3),
        "other_final": streams * streams * hidden + streams + 1,
    }


def lfm2(config: Config) -> dict[str, Any]:
    """LFM2 takes two thirds of the stated width, times a factor, rounded up to a multiple, where it says so."""
    width = config.count("block_ff_dim", "intermediate_size")
    config.without_effect("full_attn_idxs")
    config.repeats(config.hidden(), "block_dim", "conv_dim", "conv_dim_out")
    config.repeats(config.count("num_attention_heads"), "num_heads")
    if not config.flag("block_auto_adjust_ff_dim", True):
        return {"dense_ffn": width}
    multiple, factor = config.count_or(256, "block_multiple_of", minimum=1), config.get("block_ffn_dim_multiplier")
    if factor is not None and not (isinstance(factor, int | float) and 0 < factor < LARGEST_FACTOR):
        raise InvalidField("block_ffn_dim_multiplier", f"is {shown(factor)}, not a factor of the width")
    inner = int((1 if factor is None else factor) * (2 * width // 3))
    return {"dense_ffn": max(1, -(-inner // multiple)) * multiple}


def block_residuals(config: Config) -> dict[str, Any]:
    """Kimi-K3: before each of the two blocks of a layer and before the head, a weight and a norm over the hidden size
    choose among the sums of earlier blocks of layers (`KimiK3DecoderLayer` in SGLang).
    """
    if not config.count_or(0, "attn_res_block_size"):
        return {}
    return {"other": 4 * config.hidden(), "other_final": 2 * config.hidden()}
