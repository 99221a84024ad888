"""Attention of each family, from the fields of a configuration.

Each reader gives the attention of the model's full-attention layers; `layers` says which layers have it, with what
window, and where another one is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dagc.catalog.attention import Attention, AttentionKind, Gate, Indexer
from dagc.catalog.huggingface.fields import Config, InvalidField, MissingField, UnsupportedField, shown

Reader = Callable[[Config], Attention]

_HEADS = ("num_attention_heads", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_attention_groups", "attn_config.kv_n_heads")


def head_dim(config: Config) -> int:
    """`head_dim`, or hidden / heads, which is what libraries take where it is absent."""
    field = config.first("head_dim", "attention_head_dim")
    if config.get(field) is not None:
        return config.count(field)
    hidden, heads = config.hidden(), config.count(*_HEADS)
    if hidden % heads:
        raise MissingField("head_dim", f"is missing, and {hidden} does not divide by {heads} heads")
    return hidden // heads


def grouped(**always: Any) -> Reader:
    """MHA or GQA; `always` are fields of `Attention` that the architecture has whatever the file says."""

    def read(config: Config) -> Attention:
        if always.get("qkv_bias") is True and config.get("attention_bias") is False:
            raise UnsupportedField("attention_bias", "is False, and the architecture is known to have one always")
        heads = config.count(*_HEADS)
        kv_heads = config.count_or(heads, *_KV_HEADS, minimum=1)
        if heads % kv_heads:
            raise InvalidField(config.first(*_KV_HEADS), f"is {kv_heads}, which does not divide {heads} heads")
        kind = AttentionKind.MHA if kv_heads == heads else AttentionKind.GQA
        return Attention(kind, heads, kv_heads, head_dim(config), **always)

    return read


def biased(field: str = "attention_bias", default: bool = False, out: bool = True, **always: Any) -> Reader:
    """The same with a bias where a field says so, on the output projection too unless `out` is false."""

    def read(config: Config) -> Attention:
        bias = config.flag(field, default)
        return grouped(qkv_bias=bias, out_bias=bias and out, **always)(config)

    return read


def normed(reader: Reader, field: str, default: bool = False, whole: bool = False) -> Reader:
    """Queries and keys are normalised where a field says so."""

    def read(config: Config) -> Attention:
        is_normed = config.flag(field, default)
        return replace(reader(config), qk_norm=is_normed and not whole, qk_norm_whole=is_normed and whole)

    return read


def gated(reader: Reader, field: str, gate: Gate, default: bool = False) -> Reader:
    """The result is multiplied by a gate where a field says so."""

    def read(config: Config) -> Attention:
        return replace(reader(config), gate=gate if config.flag(field, default) else Gate.NONE)

    return read


def minimax(config: Config) -> Attention:
    """Norms over all heads, or over single ones: `qk_norm_type` (MiniMax-M2)."""
    attention = grouped()(config)
    if not config.flag("use_qk_norm"):
        if config.get("use_qk_norm") is False:
            config.without_effect("qk_norm_type")
        return attention
    kind = config.get("qk_norm_type")
    if kind not in ("per_layer", "per_head"):
        raise UnsupportedField("qk_norm_type", f"is {shown(kind)}; known are per_layer, per_head")
    return replace(attention, qk_norm_whole=kind == "per_layer", qk_norm=kind == "per_head")


def latent(config: Config) -> Attention:
    """MLA (DeepSeek-V2), with the indexer of DeepSeek-V3.2 where `index_topk` is stated."""
    heads, nope, rope = (config.count(f) for f in ("num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim"))
    config.repeats(nope + rope, "qk_head_dim")
    # Every head has keys of its own out of the latent, and `head_dim` is kept for libraries that ask for one.
    config.without_effect("num_key_value_heads", "head_dim")
    bias = config.flag("attention_bias")
    q_lora = config.count_or(0, "q_lora_rank")
    if config.get("index_topk") is not None and not q_lora:
        raise MissingField("q_lora_rank", "is missing: the indexer takes its queries from their latent")
    return Attention(
        AttentionKind.MLA,
        heads,
        heads,
        nope + rope,
        q_lora=q_lora,
        kv_lora=config.count("kv_lora_rank"),
        qk_nope=nope,
        qk_rope=rope,
        v_head=config.count("v_head_dim"),
        qkv_bias=bias,
        out_bias=bias,
        gate=Gate.ELEMENT if config.flag("mla_use_output_gate") else Gate.NONE,
        indexer=indexer(config) if config.get("index_topk") is not None else None,
    )


def indexer(config: Config) -> Indexer:
    """The indexer of DeepSeek sparse attention."""
    return Indexer(config.count("index_n_heads"), config.count("index_head_dim"), config.count("index_topk"))


def shared(config: Config) -> Attention:
    """The attention of DeepSeek-V4: one vector a position is key and value of all heads."""
    config.refuse("attention_bias", "a bias of shared attention")
    # The rotary part is inside the one vector of a position.
    config.without_effect("qk_rope_head_dim")
    if config.count_or(1, "num_key_value_heads") != 1:
        raise UnsupportedField("num_key_value_heads", "is not 1, which is what the architecture has")
    return Attention(
        AttentionKind.SHARED,
        config.count("num_attention_heads"),
        1,
        config.count("head_dim"),
        q_lora=config.count("q_lora_rank"),
        sinks=True,
        o_groups=config.count("o_groups"),
        o_lora=config.count("o_lora_rank"),
    )


def mimo(config: Config) -> Attention:
    """Values of another width than keys, sinks where the file says so (MiMo-V2)."""
    bias = config.flag("attention_bias")
    sinks = config.flag("add_full_attention_sink_bias")
    return replace(grouped(qkv_bias=bias)(config), v_head=config.count("v_head_dim"), sinks=sinks)
