"""An independent count: the tensors of a checkpoint, written out by name and shape, sum to what the shapes give.

Names and shapes are those of the checkpoints' modules; each row says how often a tensor stands in the model. Nothing
here is taken from the formulas of `dagc.catalog`.
"""

from __future__ import annotations

from math import prod

import pytest

from dagc.catalog.parameters import count
from tests.unit.config_files import fields_of, read

Tensors = dict[str, tuple[int, tuple[int, ...]]]
"""How often a tensor stands in the model, and its shape."""


def mlp(prefix: str, times: int, hidden: int, inner: int) -> Tensors:
    up, down = (inner, hidden), (hidden, inner)
    return {f"{prefix}.gate_proj": (times, up), f"{prefix}.up_proj": (times, up), f"{prefix}.down_proj": (times, down)}


def ends(vocab: int, hidden: int, head: bool = True) -> Tensors:
    both = 2 if head else 1
    return {"embed_tokens and lm_head": (both, (vocab, hidden)), "norm": (1, (hidden,))}


QWEN35: Tensors = {
    **ends(248_320, 4096),
    "input_layernorm": (60, (4096,)),
    "post_attention_layernorm": (60, (4096,)),
    "self_attn.q_proj": (15, (32 * 256 * 2, 4096)),
    "self_attn.k_proj": (15, (2 * 256, 4096)),
    "self_attn.v_proj": (15, (2 * 256, 4096)),
    "self_attn.o_proj": (15, (4096, 32 * 256)),
    "self_attn.q_norm": (15, (256,)),
    "self_attn.k_norm": (15, (256,)),
    "linear_attn.in_proj_qkv": (45, (2 * 16 * 128 + 64 * 128, 4096)),
    "linear_attn.in_proj_z": (45, (64 * 128, 4096)),
    "linear_attn.in_proj_b": (45, (64, 4096)),
    "linear_attn.in_proj_a": (45, (64, 4096)),
    "linear_attn.conv1d": (45, (2 * 16 * 128 + 64 * 128, 1, 4)),
    "linear_attn.dt_bias": (45, (64,)),
    "linear_attn.A_log": (45, (64,)),
    "linear_attn.norm": (45, (128,)),
    "linear_attn.out_proj": (45, (4096, 64 * 128)),
    "mlp.gate": (60, (512, 4096)),
    **mlp("mlp.experts", 60 * 512, 4096, 1024),
    **mlp("mlp.shared_expert", 60, 4096, 1024),
    "mlp.shared_expert_gate": (60, (1, 4096)),
}

NEMOTRON: Tensors = {
    **ends(131_072, 2688),
    "norm of each block": (52, (2688,)),
    "mixer.in_proj": (23, (2 * 4096 + 2 * 8 * 128 + 64, 2688)),
    "mixer.conv1d": (23, (4096 + 2 * 8 * 128, 1, 4)),
    "mixer.conv1d.bias": (23, (4096 + 2 * 8 * 128,)),
    "mixer.A_log, D and dt_bias": (3 * 23, (64,)),
    "mixer.norm": (23, (4096,)),
    "mixer.out_proj": (23, (2688, 4096)),
    "mixer.q_proj": (6, (32 * 128, 2688)),
    "mixer.k_proj and v_proj": (2 * 6, (2 * 128, 2688)),
    "mixer.o_proj": (6, (2688, 32 * 128)),
    "mixer.gate": (23, (128, 2688)),
    "mixer.gate.e_score_correction_bias": (23, (128,)),
    "mixer.experts.up_proj": (23 * 128, (1856, 2688)),
    "mixer.experts.down_proj": (23 * 128, (2688, 1856)),
    "mixer.shared_experts.up_proj": (23, (3712, 2688)),
    "mixer.shared_experts.down_proj": (23, (2688, 3712)),
}

GEMMA4: Tensors = {
    **ends(262_144, 2816, head=False),
    "norms around attention, dense and experts": (30 * 7, (2816,)),
    "layer_scalar": (30, (1,)),
    "sliding q_proj": (25, (16 * 256, 2816)),
    "sliding k_proj": (25, (8 * 256, 2816)),
    "sliding v_proj": (25, (8 * 256, 2816)),
    "sliding o_proj": (25, (2816, 16 * 256)),
    "sliding q_norm and k_norm": (2 * 25, (256,)),
    "full q_proj": (5, (16 * 512, 2816)),
    "full k_proj": (5, (2 * 512, 2816)),
    "full o_proj": (5, (2816, 16 * 512)),
    "full q_norm and k_norm": (2 * 5, (512,)),
    **mlp("mlp", 30, 2816, 2112),
    "router.proj": (30, (128, 2816)),
    "router.scale": (30, (2816,)),
    "router.per_expert_scale": (30, (128,)),
    **mlp("experts", 30 * 128, 2816, 704),
}

GLM5: Tensors = {
    **ends(154_880, 6144),
    "input_layernorm and post_attention_layernorm": (2 * 78, (6144,)),
    "self_attn.q_a_proj": (78, (2048, 6144)),
    "self_attn.q_a_layernorm": (78, (2048,)),
    "self_attn.q_b_proj": (78, (64 * 256, 2048)),
    "self_attn.kv_a_proj_with_mqa": (78, (512 + 64, 6144)),
    "self_attn.kv_a_layernorm": (78, (512,)),
    "self_attn.kv_b_proj": (78, (64 * (192 + 256), 512)),
    "self_attn.o_proj": (78, (6144, 64 * 256)),
    "self_attn.indexer.wq_b": (78, (32 * 128, 2048)),
    "self_attn.indexer.wk": (78, (128, 6144)),
    "self_attn.indexer.k_norm, weight and bias": (2 * 78, (128,)),
    "self_attn.indexer.weights_proj": (78, (32, 6144)),
    **mlp("mlp", 3, 6144, 12_288),
    "mlp.gate": (75, (256, 6144)),
    "mlp.gate.e_score_correction_bias": (75, (256,)),
    **mlp("mlp.experts", 75 * 256, 6144, 2048),
    **mlp("mlp.shared_experts", 75, 6144, 2048),
}

MIMO: Tensors = {
    **ends(152_576, 4096),
    "input_layernorm and post_attention_layernorm": (2 * 48, (4096,)),
    "q_proj": (48, (64 * 192, 4096)),
    "full k_proj": (9, (4 * 192, 4096)),
    "full v_proj": (9, (4 * 128, 4096)),
    "sliding k_proj": (39, (8 * 192, 4096)),
    "sliding v_proj": (39, (8 * 128, 4096)),
    "o_proj": (48, (4096, 64 * 128)),
    "sliding attention_sink_bias": (39, (64,)),
    **mlp("mlp", 1, 4096, 16_384),
    "mlp.gate": (47, (256, 4096)),
    "mlp.gate.e_score_correction_bias": (47, (256,)),
    **mlp("mlp.experts", 47 * 256, 4096, 2048),
}

DEEPSEEK4: Tensors = {
    **ends(129_280, 4096),
    "attn_norm and ffn_norm": (2 * 43, (4096,)),
    "attn.wq_a": (43, (1024, 4096)),
    "attn.q_norm": (43, (1024,)),
    "attn.wq_b": (43, (64 * 512, 1024)),
    "attn.wkv": (43, (512, 4096)),
    "attn.kv_norm": (43, (512,)),
    "attn.wo_a, block-diagonal over 8 groups": (43, (8 * 1024, 64 * 512 // 8)),
    "attn.wo_b": (43, (4096, 8 * 1024)),
    "attn.attn_sink": (43, (64,)),
    "compressor of 4: wkv and wgate": (2 * 21, (2 * 512, 4096)),
    "compressor of 4: ape": (21, (4, 2 * 512)),
    "compressor of 128: wkv and wgate": (2 * 20, (512, 4096)),
    "compressor of 128: ape": (20, (128, 512)),
    "compressor: norm": (41, (512,)),
    "indexer.wq_b": (21, (64 * 128, 1024)),
    "indexer.weights_proj": (21, (64, 4096)),
    "indexer.compressor: wkv and wgate": (2 * 21, (2 * 128, 4096)),
    "indexer.compressor: ape": (21, (4, 2 * 128)),
    "indexer.compressor: norm": (21, (128,)),
    "hyper-connection fn": (2 * 43, (24, 4 * 4096)),
    "hyper-connection base": (2 * 43, (24,)),
    "hyper-connection scale": (2 * 43, (3,)),
    "head: hyper-connection fn, base and scale": (1, (4 * 4 * 4096 + 4 + 1,)),
    "ffn.gate": (43, (256, 4096)),
    "ffn.gate.bias": (43, (256,)),
    **mlp("ffn.experts", 43 * 256, 4096, 2048),
    **mlp("ffn.shared_experts", 43, 4096, 2048),
}

MINIMAX_M2: Tensors = {
    **ends(200_064, 3072),
    "input_layernorm and post_attention_layernorm": (2 * 62, (3072,)),
    "q_proj": (62, (48 * 128, 3072)),
    "k_proj and v_proj": (2 * 62, (8 * 128, 3072)),
    "o_proj": (62, (3072, 48 * 128)),
    "q_norm": (62, (48 * 128,)),
    "k_norm": (62, (8 * 128,)),
    "gate": (62, (256, 3072)),
    "e_score_correction_bias": (62, (256,)),
    **mlp("experts", 62 * 256, 3072, 1536),
}

MINIMAX_M3: Tensors = {
    **ends(200_064, 6144),
    "input_layernorm and post_attention_layernorm": (2 * 60, (6144,)),
    "q_proj": (60, (64 * 128, 6144)),
    "k_proj and v_proj": (2 * 60, (4 * 128, 6144)),
    "o_proj": (60, (6144, 64 * 128)),
    "q_norm and k_norm": (2 * 60, (128,)),
    "index_q_proj": (57, (4 * 128, 6144)),
    "index_k_proj": (57, (128, 6144)),
    "index_q_norm and index_k_norm": (2 * 57, (128,)),
    **mlp("mlp", 3, 6144, 12_288),
    "gate": (57, (128, 6144)),
    "e_score_correction_bias": (57, (128,)),
    **mlp("experts", 57 * 128, 6144, 3072),
    **mlp("shared_experts", 57, 6144, 3072),
}

NEMOTRON_NAS: Tensors = {
    **ends(128_256, 8192),
    "input_layernorm": (49, (8192,)),
    "post_attention_layernorm": (80, (8192,)),
    "q_proj and o_proj": (2 * 49, (64 * 128, 8192)),
    "k_proj and v_proj": (2 * 49, (8 * 128, 8192)),
    **mlp("mlp, 5.25 of two thirds", 49, 8192, 28_672),
    **mlp("mlp, 3.28125", 1, 8192, 17_920),
    **mlp("mlp, 2.625", 6, 8192, 14_336),
    **mlp("mlp, 1.3125", 10, 8192, 7168),
    **mlp("mlp, 1", 8, 8192, 5632),
    **mlp("mlp, 0.5", 6, 8192, 2816),
}


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("MiniMaxAI--MiniMax-M3", MINIMAX_M3),
        ("nvidia--Llama-3_3-Nemotron-Super-49B-v1", NEMOTRON_NAS),
        ("Qwen--Qwen3.5-397B-A17B", QWEN35),
        ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", NEMOTRON),
        ("google--gemma-4-26B-A4B", GEMMA4),
        ("zai-org--GLM-5", GLM5),
        ("XiaomiMiMo--MiMo-V2-Flash", MIMO),
        ("deepseek-ai--DeepSeek-V4-Flash", DEEPSEEK4),
        ("MiniMaxAI--MiniMax-M2.5", MINIMAX_M2),
    ],
)
def test_tensors_sum_to_the_total(name: str, tensors: Tensors) -> None:
    assert count(read(fields_of(name))[1]).total == sum(times * prod(shape) for times, shape in tensors.values())
