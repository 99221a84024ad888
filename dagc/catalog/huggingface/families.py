"""The table of architectures, by `model_type`: which mechanisms each has, and what its library takes where a field is
absent.

A new architecture is a row of `FAMILIES`. `attention` reads that of the full-attention layers, `mixing` which layers
have it, `experts` and `placing` the feed-forward part. `more` are further fields of `ModelSpec` that hold always. The
shapes follow the modules of the `transformers` library, or of vLLM where that has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagc.catalog.attention import Attention, Gate
from dagc.catalog.huggingface import attention as att
from dagc.catalog.huggingface import blocks, further, mixers
from dagc.catalog.huggingface import feedforward as ffn
from dagc.catalog.huggingface import layers as lay
from dagc.catalog.huggingface.fields import Config
from dagc.catalog.model import Experts, FfnKind


def _nothing(config: Config) -> dict[str, Any]:
    del config
    return {}


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """How to read one architecture.

    `dense` names the field with the width of dense layers. `mtp`: layers that predict further tokens are like the
    model's last one. `ignored` are fields that the architecture's library does not read, or that
    repeat what others say; `expected` are fields that may only say what the architecture is known to have.
    """

    attention: Callable[[Config], Attention] = field(default_factory=att.grouped)
    mixing: lay.Plan = lay.uniform
    experts: Callable[[Config], Experts | None] | None = None
    placing: Callable[[Config], tuple[FfnKind, ...]] = ffn.dense
    dense: tuple[str, ...] = ("intermediate_size",)
    norms: int = 2
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    read_more: Callable[[Config], dict[str, Any]] = _nothing
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    mtp: bool = False
    ignored: tuple[str, ...] = ()
    expected: Mapping[str, object] = field(default_factory=dict[str, object])


_TIED = {"tie_word_embeddings": True}


def _moe(*width: str, **more: Any) -> dict[str, Any]:
    """Every layer has experts of such a width."""
    return {"experts": ffn.routed(*width, **more), "placing": ffn.everywhere}


def _nemotron_placing(config: Config) -> tuple[FfnKind, ...]:
    known = {"M": FfnKind.NONE, "*": FfnKind.NONE, "-": FfnKind.DENSE, "E": FfnKind.MOE}
    words = {"mamba": FfnKind.NONE, "attention": FfnKind.NONE, "mlp": FfnKind.DENSE, "moe": FfnKind.MOE}
    pattern = config.first("hybrid_override_pattern", "layers_block_type")
    return config.kinds(pattern, config.layers(), {**known, **words}) or ffn.dense(config)


_LLAMA = ModelFamily(att.biased(), lay.uniform, read_more=further.mlp_bias)
_MISTRAL = ModelFamily(mixing=lay.windowed)
_QWEN2 = ModelFamily(att.grouped(qkv_bias=True))
_QWEN3 = ModelFamily(att.biased(qk_norm=True))
_QWEN3_MOE = ModelFamily(att.biased(qk_norm=True), experts=ffn.routed(), placing=ffn.qwen)
_DEEPSEEK = ModelFamily(
    att.latent,
    lay.indexed_by_some,
    experts=ffn.deepseek,
    placing=ffn.after("first_k_dense_replace"),
    mtp=True,
)
_DSA = ModelFamily(
    att.latent,
    lay.indexed_by_some,
    experts=ffn.balanced,
    placing=ffn.after("first_k_dense_replace"),
    mtp=True,
)
_GLM_MOE = ModelFamily(
    att.normed(att.biased(out=False), "use_qk_norm"),
    experts=ffn.balanced,
    placing=ffn.after("first_k_dense_replace"),
    mtp=True,
)
_GATED = att.gated(att.biased(qk_norm=True), "attn_output_gate", Gate.ELEMENT, default=True)
_QWEN3_NEXT_MOE = ModelFamily(
    _GATED,
    lay.recurrent(mixers.gated_delta_net, "full_attention_interval"),
    experts=ffn.routed(shared="shared_expert_intermediate_size", shared_gate=True),
    placing=ffn.qwen,
    mtp=True,
)
_MINIMAX = ModelFamily(
    mixing=lay.minimax01(mixers.lightning), ignored=("block_size", "postnorm"), **_moe("intermediate_size")
)
_MINIMAX_M2 = ModelFamily(
    att.minimax, **_moe("intermediate_size", router_bias="use_routing_bias", shared="shared_intermediate_size")
)
_MINIMAX_M3 = ModelFamily(
    att.gated(att.minimax, "attention_output_gate", Gate.ELEMENT),
    lay.minimax3,
    experts=ffn.routed(
        "intermediate_size", "moe_intermediate_size", router_bias="use_routing_bias", shared="shared_intermediate_size"
    ),
    placing=ffn.after("first_k_dense_replace"),
    dense=("dense_intermediate_size",),
    ignored=("use_gemma_norm",),
    expected={"n_shared_experts": 1},
)
_GEMMA3 = ModelFamily(
    att.grouped(qk_norm=True),
    lay.every("sliding_window_pattern"),
    norms=4,
    defaults={
        **_TIED, "sliding_window_pattern": 6, "vocab_size": 262_208, "head_dim": 256, "num_attention_heads": 8,
        "num_key_value_heads": 4, "sliding_window": 4096,
    },
)  # fmt: skip
_OLMO2 = ModelFamily(att.biased(qk_norm_whole=True))
_STEP = ModelFamily(
    att.gated(att.grouped(qk_norm=True), "use_head_wise_attn_gate", Gate.HEAD),
    lay.step,
    experts=ffn.step,
    ignored=("attention_other_setting.attention_type", "attention_other_setting.true_head_dim"),
    expected={"att_impl_type": "GQA", "use_moe": True, "moe_every_n_layer": 1},
    placing=ffn.enumerated,
)
_MIMO_V2 = ModelFamily(att.mimo, lay.mimo, experts=ffn.deepseek, placing=ffn.after("first_k_dense_replace"))
_BIASED = {"norm_bias": True, "ffn_bias": True, "head_bias": True, "gated": False}
_COHERE = {"use_parallel_block": True, "use_gated_activation": True, "use_embedding_sharing": True}
_ERNIE = ModelFamily(att.biased("use_bias"), defaults=_TIED)
_BAILING = ModelFamily(
    att.normed(att.biased("use_qkv_bias", out=False), "use_qk_norm"),
    experts=ffn.bailing,
    placing=ffn.after("first_k_dense_replace"),
)

FAMILIES: Mapping[str, ModelFamily] = {
    "afmoe": ModelFamily(
        att.grouped(qk_norm=True, gate=Gate.ELEMENT),
        lay.every("global_attn_every_n_layers"),
        experts=ffn.routed(router_bias=True),
        placing=ffn.after("num_dense_layers"),
        norms=4,
    ),
    "apertus": ModelFamily(att.normed(att.biased(), "qk_norm", default=True), more={"gated": False}),
    "arcee": ModelFamily(att.biased(), more={"gated": False}),
    "bailing_moe": _BAILING,
    "bailing_moe_v2": _BAILING,
    "bamba": ModelFamily(
        att.biased(),
        lay.indexed(mixers.mamba2, lay.named("attn_layer_indices")),
        ignored=("layers_block_type", "mamba_dt_rank"),
        read_more=further.mlp_bias,
    ),
    "baichuan": ModelFamily(),
    "cohere": ModelFamily(
        att.normed(att.biased(), "use_qk_norm", whole=True), norms=1, defaults=_TIED, expected=_COHERE
    ),
    "cohere2": ModelFamily(
        att.biased(),
        lay.every("sliding_window_pattern"),
        norms=1,
        defaults={**_TIED, "sliding_window_pattern": 4},
        expected={**_COHERE, "order_of_interleaved_layers": "local_attn_first"},
    ),
    "dbrx": ModelFamily(ignored=("ffn_config.hidden_size",), **_moe("ffn_config.ffn_hidden_size")),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "deepseek_v32": _DEEPSEEK,
    "deepseek_v4": ModelFamily(
        att.shared,
        lay.deepseek4,
        read_more=further.hyper_connections,
        mtp=True,
        experts=ffn.deepseek,
        placing=ffn.everywhere,
    ),
    "dots1": ModelFamily(att.biased(qk_norm=True), experts=ffn.deepseek, placing=ffn.after("first_k_dense_replace")),
    "ernie4_5": _ERNIE,
    "ernie4_5_moe": ModelFamily(
        att.biased("use_bias"), experts=ffn.routed(router_bias=True), placing=ffn.ernie, defaults=_TIED
    ),
    "exaone4": ModelFamily(att.grouped(qk_norm=True), lay.every("sliding_window_pattern")),
    "exaone": _LLAMA,
    "flex_olmo": ModelFamily(att.biased(qk_norm_whole=True), **_moe("intermediate_size")),
    "gemma": ModelFamily(att.biased(), defaults=_TIED),
    "gemma2": ModelFamily(
        att.biased(), lay.every("sliding_window_pattern"), norms=4, defaults={**_TIED, "sliding_window_pattern": 2}
    ),
    "gemma3": _GEMMA3,
    "gemma4": ModelFamily(
        att.biased(qk_norm=True),
        lay.gemma4,
        experts=ffn.gemma4,
        placing=ffn.where_moe(ffn.gemma4),
        norms=4,
        read_more=further.gemma4,
        defaults={**_TIED, "sliding_window_pattern": 6},
    ),
    "glm4": ModelFamily(att.biased(out=False), norms=4),
    "glm4v": ModelFamily(att.biased(out=False), norms=4),
    "glm4_moe": _GLM_MOE,
    "glm4_moe_lite": _DSA,
    "glm4v_moe": _GLM_MOE,
    "glm_moe_dsa": _DSA,
    "gpt_neox": ModelFamily(att.biased(default=True), more={"gated": False, "norm_bias": True, "ffn_bias": True}),
    "gpt_oss": ModelFamily(
        att.biased(default=True, sinks=True),
        lay.typed,
        **_moe("intermediate_size", router_bias=True, bias=True),
    ),
    "granite": _LLAMA,
    "granitemoe": ModelFamily(att.biased(), **_moe("intermediate_size")),
    "granitemoehybrid": ModelFamily(
        att.biased(),
        lay.recurrent(mixers.mamba2),
        experts=ffn.granite,
        placing=ffn.where_moe(ffn.granite),
        dense=("shared_intermediate_size",),
    ),
    "granitemoeshared": ModelFamily(att.biased(), **_moe("intermediate_size", shared="shared_intermediate_size")),
    "grok-1": ModelFamily(norms=4, defaults=_TIED, **_moe("intermediate_size")),
    "hunyuan_v1_dense": ModelFamily(att.normed(att.biased(), "use_qk_norm", default=True)),
    "hunyuan_v1_moe": ModelFamily(
        att.normed(att.biased(), "use_qk_norm", default=True),
        ignored=("use_mixed_mlp_moe", "cla_share_factor"),
        **_moe(),
    ),
    "internlm2": ModelFamily(att.biased("bias")),
    "internlm3": ModelFamily(att.biased("qkv_bias")),
    "jamba": ModelFamily(
        mixing=lay.indexed(mixers.mamba, lay.jamba),
        ignored=("layers_block_type",),
        expected={"mamba_inner_layernorms": True},
        experts=ffn.routed("intermediate_size", shared=""),
        placing=ffn.jamba,
    ),
    "kimi_k2": _DEEPSEEK,
    "kimi_linear": ModelFamily(
        att.latent,
        lay.indexed(mixers.kimi_delta, lay.kimi),
        experts=ffn.balanced,
        placing=ffn.after("first_k_dense_replace"),
        read_more=further.block_residuals,
    ),
    "lfm2": ModelFamily(
        att.grouped(qk_norm=True),
        lay.recurrent(mixers.short_conv),
        read_more=further.lfm2,
        expected={"block_use_swiglu": True},
        defaults=_TIED,
        dense=("intermediate_size", "block_ff_dim"),
    ),
    "lfm2_moe": ModelFamily(
        att.grouped(qk_norm=True),
        lay.recurrent(mixers.short_conv),
        experts=ffn.routed(router_bias="use_expert_bias"),
        placing=ffn.after("num_dense_layers"),
        defaults={**_TIED, "use_expert_bias": True},
    ),
    "llama": _LLAMA,
    "llama4": ModelFamily(
        att.biased(),
        lay.llama4,
        experts=ffn.llama4,
        placing=ffn.interleaved,
        dense=("intermediate_size_mlp",),
        ignored=("use_qk_norm",),
    ),
    "mimo": _QWEN2,
    "mimo_v2": _MIMO_V2,
    "mimo_v2_flash": _MIMO_V2,
    "minimax": _MINIMAX,
    "minimax_m1": _MINIMAX,
    "minimax_m2": _MINIMAX_M2,
    "minimax_m3": _MINIMAX_M3,
    "minimax_m3_vl": _MINIMAX_M3,
    "minimax_text_01": _MINIMAX,
    "minicpm": _LLAMA,
    "minicpm3": ModelFamily(att.latent),
    "ministral": _MISTRAL,
    "ministral3": _MISTRAL,
    "mistral": _MISTRAL,
    "mixtral": ModelFamily(mixing=lay.windowed, **_moe("intermediate_size")),
    "nemotron": ModelFamily(att.biased(), more={"gated": False, "norm_bias": True}),
    "nemotron-nas": ModelFamily(
        blocks.attention,
        blocks.mixing,
        placing=blocks.placing,
        read_more=lambda config: {**further.mlp_bias(config), **blocks.widest(config)},
        ignored=("pretraining_tp",),
    ),
    "nemotron_h": ModelFamily(
        att.biased(),
        lay.hybrid(mixers.mamba2),
        experts=ffn.nemotron,
        placing=_nemotron_placing,
        more={"gated": False},
        read_more=further.mlp_bias,
    ),
    "olmo2": _OLMO2,
    "olmo3": ModelFamily(att.biased(qk_norm_whole=True), lay.typed),
    "olmoe": ModelFamily(att.biased(qk_norm_whole=True), **_moe("intermediate_size")),
    "phi": ModelFamily(att.grouped(qkv_bias=True, out_bias=True), norms=1, more=_BIASED),
    "phi3": _MISTRAL,
    "phimoe": ModelFamily(
        att.biased(),
        lay.windowed,
        more={"norm_bias": True},
        read_more=further.phimoe,
        **_moe("intermediate_size"),
    ),
    "qwen2": _QWEN2,
    "qwen2_5_vl": _QWEN2,
    "qwen2_moe": ModelFamily(
        att.biased("qkv_bias", True, out=False),
        experts=ffn.routed(shared="shared_expert_intermediate_size", shared_gate=True),
        placing=ffn.qwen,
    ),
    "qwen2_vl": _QWEN2,
    "qwen3": _QWEN3,
    "qwen3_5": ModelFamily(_GATED, lay.recurrent(mixers.gated_delta_net, "full_attention_interval"), mtp=True),
    "qwen3_5_moe": _QWEN3_NEXT_MOE,
    "qwen3_moe": _QWEN3_MOE,
    "qwen3_next": _QWEN3_NEXT_MOE,
    "qwen3_omni_moe": _QWEN3_MOE,
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3_MOE,
    "seed_oss": ModelFamily(att.biased()),
    "smollm3": _LLAMA,
    "starcoder2": ModelFamily(
        att.biased("use_bias", True),
        lay.windowed,
        more={"gated": False, "norm_bias": True},
        read_more=further.starcoder,
        ignored=("norm_type",),
        defaults=_TIED,
    ),
    "step3p5": _STEP,
    "step3p7": _STEP,
}
"""How to read each architecture; `_text` at the end of a `model_type` is left out."""
