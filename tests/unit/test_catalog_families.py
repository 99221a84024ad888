"""Architectures beyond those with a file of their own: shapes as published, totals as their makers state them.

Stated totals are those of the models' cards or, with more digits, of the checkpoints' own count of tensors. Where a
card's total includes a tower or further layers, the row's figure is the text model's.
"""

from __future__ import annotations

from typing import Any

import pytest

from dagc.catalog.attention import AttentionKind, Gate
from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence
from dagc.catalog.huggingface.read import read_config
from dagc.catalog.parameters import count
from dagc.diag.diagnostic import Diagnostic
from tests.unit.config_files import read


def grouped(kind: str, layers: int, hidden: int, heads: int, kv_heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "vocab_size": vocab, **more,
    }  # fmt: skip


JAMBA = {
    "num_experts": 16, "num_experts_per_tok": 2, "attn_layer_period": 8, "attn_layer_offset": 4,
    "expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2,
}  # fmt: skip
DELTA = {
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
}  # fmt: skip
MAMBA2 = {
    "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4,
}  # fmt: skip

KIMI_LINEAR = grouped(
    "kimi_linear", 27, 2304, 32, 32, 163_840, intermediate_size=9216, kv_lora_rank=512, qk_nope_head_dim=128,
    qk_rope_head_dim=64, v_head_dim=128, num_experts=256, num_experts_per_token=8, num_shared_experts=1,
    moe_intermediate_size=1024, first_k_dense_replace=1,
    linear_attn_config={
        "full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4,
    },
)  # fmt: skip
QWEN3_NEXT = grouped(
    "qwen3_next", 48, 2048, 16, 2, 151_936, head_dim=256, num_experts=512, num_experts_per_tok=10,
    moe_intermediate_size=512, shared_expert_intermediate_size=512, **DELTA,
)  # fmt: skip

FAMILIES: dict[str, tuple[dict[str, Any], float]] = {
    "Jamba-1.5-Large": (
        grouped("jamba", 72, 8192, 64, 8, 65_536, intermediate_size=24_576, mamba_dt_rank=512, **JAMBA), 398e9,
    ),
    "Jamba-1.5-Mini": (
        grouped("jamba", 32, 4096, 32, 8, 65_536, intermediate_size=14_336, mamba_dt_rank="auto", **JAMBA),
        51_570_323_328,
    ),
    "Kimi-Linear-48B-A3B": (KIMI_LINEAR, 49.1e9),
    "Qwen3-Next-80B-A3B": (QWEN3_NEXT, 80e9),
    "Granite-4.0-H-Small": (
        grouped(
            "granitemoehybrid", 40, 4096, 32, 8, 100_352, intermediate_size=768, shared_intermediate_size=1536,
            num_local_experts=72, num_experts_per_tok=10, tie_word_embeddings=True,
            layer_types=[*["mamba"] * 5, "attention", *["mamba"] * 4] * 4, **MAMBA2,
        ), 32e9,
    ),
    "Bamba-9B": (
        grouped("bamba", 32, 4096, 32, 8, 128_256, intermediate_size=14_336, attn_layer_indices=[9, 18, 27], **MAMBA2),
        9_780_235_392,
    ),
    "LFM2-1.2B": (
        grouped(
            "lfm2", 16, 2048, 32, 8, 65_536, block_ff_dim=12_288, block_auto_adjust_ff_dim=True, conv_L_cache=3,
            layer_types=["full_attention" if i in (2, 5, 8, 10, 12, 14) else "conv" for i in range(16)],
        ), 1_170_340_608,
    ),
    "Nemotron-3-Super-120B-A12B": (
        grouped(
            "nemotron_h", 88, 4096, 32, 2, 131_072, head_dim=128, n_routed_experts=512, num_experts_per_tok=22,
            moe_intermediate_size=2688, moe_latent_size=1024, n_shared_experts=1, conv_kernel=4,
            moe_shared_expert_intermediate_size=5376, mamba_num_heads=128, mamba_head_dim=64, ssm_state_size=128,
            n_groups=8,
            hybrid_override_pattern="MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*"
            "EMEMEMEMEM*EMEMEMEM*EMEMEMEME",
        ), 120.6e9,
    ),
    "GLM-4.5-Air": (
        grouped(
            "glm4_moe", 46, 4096, 96, 8, 151_552, head_dim=128, attention_bias=True, use_qk_norm=False,
            intermediate_size=10_944, n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8,
            moe_intermediate_size=1408, first_k_dense_replace=1,
        ), 106e9,
    ),
    "GLM-4.7-Flash": (
        grouped(
            "glm4_moe_lite", 47, 2048, 20, 20, 154_880, intermediate_size=10_240, moe_intermediate_size=1536,
            n_routed_experts=64, n_shared_experts=1, num_experts_per_tok=4, first_k_dense_replace=1, kv_lora_rank=512,
            q_lora_rank=768, qk_nope_head_dim=192, qk_rope_head_dim=64, v_head_dim=256,
        ), 30e9,
    ),
    "Hunyuan-A13B": (
        grouped(
            "hunyuan_v1_moe", 32, 4096, 32, 8, 128_167, head_dim=128, intermediate_size=3072, num_experts=64,
            moe_intermediate_size=[3072] * 32, moe_topk=[8] * 32, num_shared_expert=[1] * 32, use_qk_norm=True,
            tie_word_embeddings=True,
        ), 80e9,
    ),
    "ERNIE-4.5-300B-A47B": (
        grouped(
            "ernie4_5_moe", 54, 8192, 64, 8, 103_424, intermediate_size=28_672, moe_num_experts=64, moe_k=8,
            moe_intermediate_size=3584, moe_layer_start_index=3, moe_layer_end_index=53, moe_layer_interval=1,
            tie_word_embeddings=False,
        ), 300e9,
    ),
    "dots.llm1": (
        grouped(
            "dots1", 62, 4096, 32, 32, 152_064, head_dim=128, intermediate_size=10_944, n_routed_experts=128,
            n_shared_experts=2, num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1,
            topk_method="noaux_tc",
        ), 142e9,
    ),
    "Ling-flash-2.0": (
        grouped(
            "bailing_moe_v2", 32, 4096, 32, 4, 157_184, head_dim=128, intermediate_size=9216, num_experts=256,
            num_experts_per_tok=8, num_shared_experts=1, moe_intermediate_size=1024, first_k_dense_replace=1,
            use_qk_norm=True, moe_router_enable_expert_bias=True,
        ), 103e9,
    ),
    "Trinity-Mini": (
        grouped(
            "afmoe", 32, 2048, 32, 4, 200_192, head_dim=128, intermediate_size=6144, moe_intermediate_size=1024,
            num_experts=128, num_experts_per_tok=8, num_shared_experts=1, num_dense_layers=2, sliding_window=2048,
            global_attn_every_n_layers=4,
        ), 26e9,
    ),
    "DBRX": (
        {
            "model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "vocab_size": 100_352,
            "attn_config": {"kv_n_heads": 8},
            "ffn_config": {"ffn_hidden_size": 10_752, "moe_num_experts": 16, "moe_top_k": 4},
        }, 131_596_523_520,
    ),
    "OLMoE-1B-7B": (
        grouped("olmoe", 16, 2048, 16, 16, 50_304, num_experts=64, num_experts_per_tok=8, intermediate_size=1024),
        6_919_161_856,
    ),
    "Phi-3.5-MoE": (
        grouped(
            "phimoe", 32, 4096, 32, 8, 32_064, num_local_experts=16, num_experts_per_tok=2, intermediate_size=6400,
            attention_bias=True, lm_head_bias=True,
        ), 41_873_153_344,
    ),
    "MiniMax-Text-01": (
        grouped(
            "minimax_text_01", 80, 6144, 64, 8, 200_064, head_dim=128, num_local_experts=32, num_experts_per_tok=2,
            intermediate_size=9216, attn_type_list=[*[0] * 7, 1] * 10,
        ), 456_089_655_296,
    ),
    "Gemma-3-27B": (
        {
            "model_type": "gemma3",
            "text_config": grouped(
                "gemma3_text", 62, 5376, 32, 16, 262_208, head_dim=128, intermediate_size=21_504, sliding_window=1024
            ),
        }, 27_009_346_304,
    ),
    "Gemma-2-27B": (
        grouped("gemma2", 46, 4608, 32, 16, 256_000, head_dim=128, intermediate_size=36_864, sliding_window=4096),
        27_227_128_320,
    ),
    "Gemma-4-31B": (
        grouped(
            "gemma4_text", 60, 5376, 32, 16, 262_144, head_dim=256, global_head_dim=512, num_global_key_value_heads=4,
            attention_k_eq_v=True, intermediate_size=21_504, sliding_window=1024,
        ), 30.7e9,
    ),
    "Mistral-Small-24B": (
        grouped("mistral", 40, 5120, 32, 8, 131_072, head_dim=128, intermediate_size=32_768), 23_572_403_200,
    ),
    "Phi-4": (grouped("phi3", 40, 5120, 40, 10, 100_352, intermediate_size=17_920), 14_659_507_200),
    "StarCoder2-15B": (
        grouped("starcoder2", 40, 6144, 48, 4, 49_152, intermediate_size=24_576, tie_word_embeddings=False),
        15_957_889_024,
    ),
    "OLMo-3-32B": (
        grouped(
            "olmo3", 64, 5120, 40, 8, 100_278, intermediate_size=27_648, sliding_window=4096,
            layer_types=[*["sliding_attention"] * 3, "full_attention"] * 16,
        ), 32_233_522_176,
    ),
    "Seed-OSS-36B": (
        grouped("seed_oss", 64, 5120, 80, 8, 155_136, head_dim=128, intermediate_size=27_648, attention_bias=True),
        36.15e9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_total_as_stated(name: str) -> None:
    fields, stated = FAMILIES[name]
    close = 1e-3 if stated % 1e7 else 0.01
    assert count(read(fields)[1]).total == pytest.approx(stated, rel=close)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_field_is_guessed(name: str) -> None:
    """Without one of its fields a configuration is refused by that name, or means what its library says."""
    fields, _ = FAMILIES[name]
    for field in fields:
        result = read_config({key: value for key, value in fields.items() if key != field}, "it")
        if isinstance(result, Diagnostic):
            named = field in result.message or field == "text_config" or "missing" in result.message
            assert named or result.code.code == "N129"


def test_states_and_caches_by_hand() -> None:
    """Qwen3-Next: 12 of 48 layers attend with 2 KV heads of 256; 36 keep 32 heads of 128 x 128 in fp32, and 3 tokens of
    2 · 2048 + 4096 channels. Kimi Linear: 7 of 27 keep a latent of 576; 20 keep 32 heads of 128 x 128, and 3 tokens of
    3 · 4096 channels.
    """
    _, shapes = read(QWEN3_NEXT)
    assert kv_bytes_per_token(shapes) == 12 * 2 * 512 * 2
    assert state_bytes_per_sequence(shapes) == 36 * (32 * 128 * 128 * 4 + 3 * 8192 * 2)
    _, shapes = read(KIMI_LINEAR)
    assert kv_bytes_per_token(shapes) == 7 * 576 * 2
    assert state_bytes_per_sequence(shapes) == 20 * (32 * 128 * 128 * 4 + 3 * 12_288 * 2)


def test_a_layer_that_reads_another_ones_cache_keeps_none() -> None:
    """Gemma 4 E4B: 42 layers, the last 18 read an earlier one's keys; every sixth attends to everything: 4 of 24."""
    fields = grouped(
        "gemma4_text", 42, 2560, 8, 2, 262_144, head_dim=256, global_head_dim=512, intermediate_size=10_240,
        sliding_window=512, num_kv_shared_layers=18, hidden_size_per_layer_input=256,
        vocab_size_per_layer_input=262_144,
    )  # fmt: skip
    _, shapes = read(fields)
    assert kv_bytes_per_token(shapes) == (20 * 2 * 512 + 4 * 2 * 1024) * 2
    plain = count(read({**fields, "num_kv_shared_layers": 0})[1]).total
    # 15 windowed and 3 full layers lose keys, values and the norm of the keys.
    assert plain - count(shapes).total == 15 * (2 * 2560 * 512 + 256) + 3 * (2 * 2560 * 1024 + 512)


def test_gates_and_sinks() -> None:
    gated = read(QWEN3_NEXT)[0].attention
    assert gated is not None
    assert (gated.kind, gated.gate, gated.gate_columns) == (AttentionKind.GQA, Gate.ELEMENT, 16 * 256)
    step = grouped(
        "step3p5", 4, 64, 8, 2, 100, head_dim=8, intermediate_size=32, moe_intermediate_size=16, share_expert_dim=16,
        moe_num_experts=4, moe_top_k=2, moe_layers_enum="1,2,3", sliding_window=4, use_head_wise_attn_gate=True,
        layer_types=["full_attention", *["sliding_attention"] * 3],
        attention_other_setting={"num_attention_heads": 12, "num_attention_groups": 2, "head_dim": 8},
    )  # fmt: skip
    kinds = read(step)[1].layer_kinds()
    assert [kind.attention.heads for kind in kinds if kind.attention] == [8, 12, 12, 12]
    assert [kind.attention.gate_columns for kind in kinds if kind.attention] == [8, 12, 12, 12]
    assert [str(kind.ffn) for kind in kinds] == ["dense", "moe", "moe", "moe"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"index_topk": 64, "q_lora_rank": None, "index_n_heads": 2, "index_head_dim": 8}, "q_lora_rank"),
        ({"kv_lora_rank": None}, "kv_lora_rank"),
        ({"linear_attn_config": None}, "linear_attn_config"),
        ({"linear_attn_config": {"full_attn_layers": ["x"]}}, "linear_attn_config"),
        ({"moe_layer_freq": 2}, "moe_layer_freq"),
        ({"num_hidden_layers": 20_000}, "num_hidden_layers"),
    ],
)
def test_what_is_not_covered_is_named(changes: dict[str, Any], field: str) -> None:
    problem = read_config({**KIMI_LINEAR, **changes}, "it")
    assert isinstance(problem, Diagnostic)
    assert problem.code.code == "N127"
    assert field in problem.message
