"""Parameters and cache of the presets against published figures.

Exact totals are those that the models' pages on Hugging Face print for their checkpoints (the sum over the tensors of
the safetensors files), or follow from the shapes of `config.json` by an independent count; the rounded ones in the
comments are those of the model cards and reports.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import FfnKind, ModelShapes
from dagc.catalog.parameters import ActiveDefinition, attention_parameters, count
from dagc.catalog.part import Part
from dagc.catalog.presets import load_model, model_names

TOTALS = {
    "dbrx": 131_596_523_520,  # 132 B
    "deepseek-r1": 671_026_419_200,  # 671 B, without its multi-token-prediction layer
    "deepseek-v2": 235_741_434_880,  # 236 B
    "deepseek-v2-lite": 15_706_484_224,  # 15.7 B
    "deepseek-v3": 671_026_419_200,
    "glm-4.5": 352_797_829_024,  # 355 B with its multi-token-prediction layer
    "glm-4.7": 352_797_829_024,
    "gpt-oss-120b": 116_829_156_672,  # 116.83 B
    "gpt-oss-20b": 20_914_757_184,  # 20.91 B
    "grok-1": 315_684_820_992,  # 314 B
    "kimi-k2": 1_026_408_232_448,  # 1 T
    "kimi-k2.5": 1_026_408_232_448,
    # 2.8 T; tensors of the text model without scales, which have a decay for each of 128 channels in place of 96 heads.
    "kimi-k3": 2_779_484_478_208 - 69 * (128 - 96),
    "llama-2-70b": 68_976_648_192,  # 69 B
    "llama-3.1-405b": 405_853_388_800,  # 405 B
    "llama-3.1-70b": 70_553_706_496,  # 70.6 B
    "llama-3.1-8b": 8_030_261_248,  # 8.03 B
    "llama-3.3-nemotron-super-49b": 49_867_145_216,  # tensors of the checkpoint
    "llama-4-maverick": 400_711_848_960,  # 400 B, the text part
    "llama-4-scout": 107_769_861_120,  # 109 B with its vision tower
    "minimax-m1": 456_089_655_296,  # 456 B
    "minimax-m2": 228_689_764_864,  # 230 B
    "minimax-m2.5": 228_689_764_864,
    "minimax-m3": 427_040_140_160 - 865_567_232,  # 428 B; tensors of the checkpoint without its vision tower
    "mixtral-8x22b": 140_620_634_112,  # 141 B
    "mixtral-8x7b": 46_702_792_704,  # 46.7 B
    "olmoe-1b-7b": 6_919_161_856,  # 6.9 B
    "phi-3.5-moe": 41_873_153_344,  # 41.9 B
    "qwen1.5-moe-a2.7b": 14_315_784_192,  # 14.3 B
    "qwen2-57b-a14b": 57_408_658_944,  # 57.41 B
    "qwen3-235b-a22b": 235_093_634_560,  # 235 B
    "qwen3-30b-a3b": 30_532_122_624,  # 30.5 B
    "qwen3-32b": 32_762_123_264,  # 32.8 B
    "qwen3-8b": 8_190_735_360,  # 8.2 B
    "qwen3.6-35b-a3b": 508_559_360 + 33_643_489_920 + 508_561_408,  # embedding, layers, norm and head
    "glm-5.2": 753_329_940_480 - 9_952_920_576,  # 744 B; tensors of the checkpoint without its layer of prediction
}

PUBLISHED = {
    "deepseek-v3.2": 671e9 + 61 * (1536 * 64 * 128 + 7168 * (128 + 64)),  # DeepSeek-V3 and an indexer a layer
    "deepseek-v4-flash": 284e9,  # model card
    "deepseek-v4-pro": 1_572_997_201_763,  # tensors without prediction; three routers have no bias
    "gemma-4-26b-a4b": 25.2e9,  # model card: 25.2 B, without its vision tower
    "glm-5": 744e9,  # technical report
    "mimo-v2-flash": 309e9,  # model card, without multi-token prediction
    "nemotron-3-nano-30b-a3b": 31.6e9,  # model card
    "nemotron-3-super-120b-a12b": 120.6e9,  # technical report
    "qwen3-coder-480b-a35b": 480e9,  # its name
    "qwen3-next-80b-a3b": 80e9,  # its name, with multi-token prediction
    "qwen3.5-397b-a17b": 397e9,  # its name, with its vision tower
    "step-3.7-flash": 196e9,  # model card of Step-3.5-Flash, whose text model it is
}
"""Published totals in the digits of their source, for models whose exact total is not printed."""

ALL, NO_INPUT, NO_EMBEDDINGS = ActiveDefinition


def shapes_of(name: str) -> ModelShapes:
    spec = load_model(name)
    assert spec is not None
    shapes = spec.shapes()
    assert shapes is not None
    return shapes


def test_every_preset_has_an_expected_total() -> None:
    assert {*TOTALS, *PUBLISHED} == set(model_names())
    assert not TOTALS.keys() & PUBLISHED.keys()


@pytest.mark.parametrize(("name", "total"), TOTALS.items())
def test_total(name: str, total: int) -> None:
    assert count(shapes_of(name)).total == total


@pytest.mark.parametrize(("name", "total"), PUBLISHED.items())
def test_total_as_published(name: str, total: float) -> None:
    assert count(shapes_of(name)).total == pytest.approx(total, rel=6e-3)


def test_mixtral_by_hand() -> None:
    """Hidden 4096, 32 layers, 8 experts of 3 · 4096 · 14336, queries 4096, keys and values 8 · 128 = 1024 wide."""
    parameters = count(shapes_of("mixtral-8x7b"))
    assert parameters.by_part == {
        Part.EMBEDDING: 32_000 * 4096,
        Part.ATTENTION: 32 * (4096 * 4096 + 2 * 4096 * 1024 + 4096 * 4096),
        Part.MIXERS: 0,
        Part.DENSE_FFN: 0,
        Part.ROUTER: 32 * 4096 * 8,
        Part.EXPERTS: 32 * 8 * 3 * 4096 * 14_336,
        Part.SHARED_EXPERTS: 0,
        Part.NORMS: (2 * 32 + 1) * 4096,
        Part.OTHER: 0,
        Part.HEAD: 32_000 * 4096,
    }


def test_latent_attention_by_hand() -> None:
    """DeepSeek-V3: q 7168→1536→128·192, kv 7168→512+64, 512→128·(128+128), output 128·128→7168."""
    expected = 7168 * 1536 + 1536 * 24_576 + 7168 * 576 + 512 * 32_768 + 16_384 * 7168
    assert attention_parameters(shapes_of("deepseek-v3").attention, 7168) == expected


@pytest.mark.parametrize(
    ("name", "definition", "billions"),
    [
        ("mixtral-8x7b", ALL, 12.9),  # Mixtral of Experts (2024): 13 B active
        ("gpt-oss-120b", NO_INPUT, 5.13),  # model card, table 1
        ("gpt-oss-20b", NO_INPUT, 3.61),  # model card, table 1
        ("deepseek-v2-lite", NO_INPUT, 2.45),  # model card: 2.4 B
        ("qwen3-235b-a22b", ALL, 22.2),  # model card: 22 B
        ("glm-4.5", NO_EMBEDDINGS, 32.1),  # technical report: 32 B
        ("minimax-m2", NO_EMBEDDINGS, 9.8),  # model card: 10 B
    ],
)
def test_active_as_published(name: str, definition: ActiveDefinition, billions: float) -> None:
    assert count(shapes_of(name)).active[definition] / 1e9 == pytest.approx(billions, rel=5e-3)


def test_active_of_a_dense_model_is_its_total() -> None:
    parameters = count(shapes_of("llama-3.1-8b"))
    assert parameters.active[ALL] == parameters.total
    assert parameters.active[NO_INPUT] == parameters.total - 128_256 * 4096
    assert parameters.active[NO_EMBEDDINGS] == parameters.total - 2 * 128_256 * 4096


def test_tied_embeddings_are_counted_once_and_used_as_the_head() -> None:
    untied = shapes_of("llama-3.1-8b")
    matrix = 128_256 * 4096
    tied = count(replace(untied, tied=True))
    assert tied.total == count(untied).total - matrix
    assert tied.active[NO_INPUT] == tied.total
    assert tied.active[NO_EMBEDDINGS] == tied.total - matrix


def test_gpt_oss_parts_as_its_card_prints_them() -> None:
    """Model card of gpt-oss, table 1, in billions: MLP 114.71 with the router, attention 0.96, both embeddings 1.16."""
    by_part = count(shapes_of("gpt-oss-120b")).by_part
    assert round((by_part[Part.EXPERTS] + by_part[Part.ROUTER]) / 1e9, 2) == 114.71
    assert round(by_part[Part.ATTENTION] / 1e9, 2) == 0.96
    assert round((by_part[Part.EMBEDDING] + by_part[Part.HEAD]) / 1e9, 2) == 1.16


CACHE = {
    "dbrx": 163_840,  # 40 layers · 2 · 8 · 128 · 2 bytes
    "deepseek-v2": 69_120,  # 60 · (512 + 64) · 2
    "deepseek-v2-lite": 31_104,  # 27 · (512 + 64) · 2
    "deepseek-v3": 70_272,  # 61 · (512 + 64) · 2
    "glm-4.5": 376_832,  # 92 · 2 · 8 · 128 · 2
    "gpt-oss-120b": 73_728,  # 36 · 2 · 8 · 64 · 2, inside the window of half of them
    "gpt-oss-20b": 49_152,  # 24 · 2 · 8 · 64 · 2
    "grok-1": 262_144,  # 64 · 2 · 8 · 128 · 2
    "kimi-k2": 70_272,  # 61 · (512 + 64) · 2
    "llama-2-70b": 327_680,  # 80 · 2 · 8 · 128 · 2
    "llama-3.1-405b": 516_096,  # 126 · 2 · 8 · 128 · 2
    "llama-3.1-70b": 327_680,  # 80 · 2 · 8 · 128 · 2
    "llama-3.1-8b": 131_072,  # 32 · 2 · 8 · 128 · 2
    "llama-4-maverick": 196_608,  # 48 · 2 · 8 · 128 · 2, inside the chunk of three of four
    "llama-4-scout": 196_608,
    "minimax-m1": 40_960,  # 10 of 80 layers attend: 10 · 2 · 8 · 128 · 2
    "minimax-m2": 253_952,  # 62 · 2 · 8 · 128 · 2
    "mixtral-8x22b": 229_376,  # 56 · 2 · 8 · 128 · 2
    "mixtral-8x7b": 131_072,  # 32 · 2 · 8 · 128 · 2
    "olmoe-1b-7b": 131_072,  # 16 · 2 · 16 · 128 · 2
    "phi-3.5-moe": 131_072,  # 32 · 2 · 8 · 128 · 2
    "qwen1.5-moe-a2.7b": 196_608,  # 24 · 2 · 16 · 128 · 2
    "qwen2-57b-a14b": 57_344,  # 28 · 2 · 4 · 128 · 2
    "qwen3-235b-a22b": 192_512,  # 94 · 2 · 4 · 128 · 2
    "qwen3-30b-a3b": 98_304,  # 48 · 2 · 4 · 128 · 2
    "qwen3-32b": 262_144,  # 64 · 2 · 8 · 128 · 2
    "qwen3-8b": 147_456,  # 36 · 2 · 8 · 128 · 2
}


@pytest.mark.parametrize(("name", "total_bytes"), CACHE.items())
def test_cache_of_a_token(name: str, total_bytes: int) -> None:
    assert kv_bytes_per_token(shapes_of(name)) == total_bytes


def test_state_of_lightning_attention() -> None:
    """MiniMax-M1: 70 layers keep a matrix of 128 x 128 for each of 64 heads, in fp32."""
    assert state_bytes_per_sequence(shapes_of("minimax-m1")) == 70 * 64 * 128 * 128 * 4


def test_cache_follows_its_type() -> None:
    shapes = shapes_of("mixtral-8x7b")
    assert kv_bytes_per_token(replace(shapes, kv_dtype=Dtype.FP8)) == 65_536


def test_weight_bytes_of_mixed_types() -> None:
    """gpt-oss keeps experts in mxfp4, 17 bytes for 32 elements, and all else in bf16."""
    parameters = count(shapes_of("gpt-oss-120b"))
    experts = 114_701_598_720
    assert parameters.weight_bytes_by_part[Part.EXPERTS] == experts / 32 * 17
    assert parameters.weight_bytes == experts / 32 * 17 + (116_829_156_672 - experts) * 2


def test_weight_bytes_of_deepseek() -> None:
    """fp8 but for embedding, router, norms and head; 1 byte each and one more for those; a scale of 4 bytes a block."""
    parameters = count(shapes_of("deepseek-v3"))
    plain = sum(parameters.by_part[part] for part in (Part.EMBEDDING, Part.ROUTER, Part.NORMS, Part.HEAD))
    converted = 671_026_419_200 - plain
    assert parameters.weight_bytes == 671_026_419_200 + plain + converted / 128 / 128 * 4


def test_layers_of_each_kind() -> None:
    """DeepSeek-V3 begins with 3 dense layers of 61; in Llama 4 Maverick every second of 48 has experts."""
    for name, moe, first in (("deepseek-v3", 58, 3), ("llama-4-maverick", 24, 1)):
        kinds = [kind.ffn for kind in shapes_of(name).layer_kinds()]
        assert kinds.count(FfnKind.MOE) == moe
        assert kinds.index(FfnKind.MOE) == first


def test_dense_layers_are_counted_as_dense() -> None:
    shapes = shapes_of("llama-4-maverick")
    parameters = count(shapes)
    assert parameters.by_part[Part.DENSE_FFN] == 24 * 3 * 5120 * 16_384
    assert parameters.by_part[Part.EXPERTS] == 24 * 128 * 3 * 5120 * 8192
