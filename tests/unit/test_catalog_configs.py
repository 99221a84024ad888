"""Configurations of models that people deploy: cache and storage by hand, and that each compiles.

`tests/pages/test_published_page.py` has their totals against what their makers state.
"""

from __future__ import annotations

import pytest

from dagc.catalog.attention import Attention
from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence
from dagc.catalog.dtype import Dtype
from dagc.catalog.parameters import count, part_stored
from dagc.catalog.part import Part
from dagc.driver.check import check
from dagc.driver.compile import export
from dagc.source import Source
from tests.unit.config_files import FOLDER, NAMES, fields_of, read

PLANS = ("{} 8", "pp 2 < {} 8 ; tp 4 >", "pp 4 < {} 8 ; cp 2 < tp 2 > >", "prefill < {} 8 > | decode < {} 8 ; tp 2 >")
QUICK = (
    "moonshotai--Kimi-K3",
    "zai-org--GLM-5.2",
    "Qwen--Qwen3.5-397B-A17B",
    "deepseek-ai--DeepSeek-V4-Flash",
    "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "nvidia--Llama-3_3-Nemotron-Super-49B-v1",
    "MiniMaxAI--MiniMax-M3",
)


@pytest.mark.parametrize(
    ("name", "kv", "state"),
    [
        # 15 of 60 layers attend: 2 KV heads · (256 + 256) · 2 bytes. The others keep 64 heads of 128 x 128 in fp32, and
        # 3 tokens of 2 · 2048 + 8192 channels in bf16.
        ("Qwen--Qwen3.5-397B-A17B", 15 * 2 * 512 * 2, 45 * (64 * 128 * 128 * 4 + 12_288 * 3 * 2)),
        # 6 attention layers with 2 KV heads of 128; 23 Mamba-2 layers: 64 heads of 64 x 128 in fp32, and 3 tokens of
        # 4096 + 2 · 8 · 128 channels.
        ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 6 * 2 * 256 * 2, 23 * (64 * 64 * 128 * 4 + 6144 * 3 * 2)),
        # 25 windowed layers with 8 KV heads of 256, 5 full ones with 2 of 512.
        ("google--gemma-4-26B-A4B", (25 * 8 * 512 + 5 * 2 * 1024) * 2, 0),
        # 9 full layers with 4 KV heads, 39 windowed with 8; keys of 192, values of 128.
        ("XiaomiMiMo--MiMo-V2-Flash", (9 * 4 + 39 * 8) * (192 + 128) * 2, 0),
        # The latent of DeepSeek-V3, and an index key of 128 bytes with one fp32 scale.
        ("deepseek-ai--DeepSeek-V3.2", 61 * (576 * 2 + 132), 0),
        ("zai-org--GLM-5", 78 * (576 * 2 + 132), 0),
        # An indexer in 21 of the 78 layers: the first three, and every fourth from the seventh on.
        ("zai-org--GLM-5.2", 78 * 576 * 2 + 21 * 132, 0),
        # 24 latents of 576; 69 layers keep 96 heads of 128 x 128 in fp32, and 3 tokens of 3 · 96 · 128 channels.
        ("moonshotai--Kimi-K3", 24 * 576 * 2, 69 * (96 * 128 * 128 * 4 + 3 * 36_864 * 2)),
        # 43 vectors of 512 in the window; 21 layers with an entry and an index key for 4 positions, 20 with one for
        # 128.
        ("deepseek-ai--DeepSeek-V4-Flash", 43 * 1024 + 21 * (1024 + 132) / 4 + 20 * 1024 / 128, 0),
        ("stepfun-ai--Step-3.7-Flash", 45 * 8 * 256 * 2, 0),
        # 4 KV heads of 128 in 60 layers, an index key of 128 in bf16 in 57.
        ("MiniMaxAI--MiniMax-M3", 60 * 4 * 256 * 2 + 57 * 128 * 2, 0),
        # 31 of 80 layers attend to nothing.
        ("nvidia--Llama-3_3-Nemotron-Super-49B-v1", 49 * 8 * 256 * 2, 0),
    ],
)  # fmt: skip
def test_cache_by_hand(name: str, kv: float, state: float) -> None:
    _, shapes = read(fields_of(name))
    assert (kv_bytes_per_token(shapes), state_bytes_per_sequence(shapes)) == (kv, state)


def test_windows_are_where_the_files_put_them() -> None:
    """Gemma: five of six layers; gpt-oss: every second from the first; Llama 4: three of four in chunks of 8,192."""
    for name, expected in (
        ("google--gemma-4-26B-A4B", [1024, 1024, 1024, 1024, 1024, None] * 5),
        ("openai--gpt-oss-20b", [128, None] * 12),
        ("meta-llama--Llama-4-Scout-17B-16E-Instruct", [8192, 8192, 8192, None] * 12),
        ("stepfun-ai--Step-3.7-Flash", [None, 512, 512, 512] * 11 + [None]),
    ):
        assert [kind.window for kind in read(fields_of(name))[1].layer_kinds()] == expected


def test_layers_of_one_block_have_one_norm() -> None:
    """Nemotron-3-Nano: 23 state-space layers, 23 of experts, 6 of attention; a norm of 2,688 each, 4,096 in a mixer."""
    _, shapes = read(fields_of("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"))
    assert count(shapes).by_part[Part.NORMS] == 53 * 2688 + 23 * 4096


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("deepseek-ai--DeepSeek-V4-Flash", (Dtype.FP8, Dtype.MXFP4, Dtype.FP8)),
        ("moonshotai--Kimi-K2.5", (Dtype.BF16, Dtype.INT4, Dtype.BF16)),
        ("moonshotai--Kimi-K3", (Dtype.BF16, Dtype.MXFP4, Dtype.BF16)),
        ("openai--gpt-oss-120b", (Dtype.BF16, Dtype.MXFP4, Dtype.BF16)),
        ("Qwen--Qwen3-235B-A22B-FP8", (Dtype.FP8, Dtype.FP8, Dtype.FP8)),
    ],
)
def test_storage_by_part(name: str, kinds: tuple[Dtype, Dtype, Dtype]) -> None:
    _, shapes = read(fields_of(name))
    parts = (Part.ATTENTION, Part.EXPERTS, Part.SHARED_EXPERTS)
    assert tuple(part_stored(shapes, part).dtype for part in parts) == kinds
    plain = (Part.EMBEDDING, Part.ROUTER, Part.NORMS, Part.HEAD)
    assert {part_stored(shapes, part).dtype for part in plain} == {Dtype.BF16}


def test_int4_experts_have_a_scale_for_32() -> None:
    """Kimi-K2.5: half a byte and 2 / 32 for its scale; the published checkpoint is 595 GB, with a vision tower."""
    spec, shapes = read(fields_of("moonshotai--Kimi-K2.5"))
    parameters = count(shapes)
    assert parameters.weight_bytes_by_part[Part.EXPERTS] == parameters.by_part[Part.EXPERTS] * (0.5 + 2 / 32)
    vision = sum(extra.parameters or 0 for extra in spec.extras) * 2
    assert parameters.weight_bytes + vision == pytest.approx(595e9, rel=0.005)


def test_kimi_k3_by_hand() -> None:
    """Experts of Kimi-K3 work on vectors of 3,584, half the hidden size (`routed_expert_hidden_size`).

    With D = 7168 and 96 heads of 128, D' = 12,288 in all:
    - 69 Kimi delta layers: queries, keys, values, a full gate (4 D·D'), a number a head (D·96), the decay through a
      rank of 128 (D·128 + 128·D'), convolutions of 4 over 3 D' channels, a decay a head and a bias a channel, a norm of
      128, and the output;
    - 24 layers of latent attention: q 1536 and 96·192, KV 512 + 64 and 96·(128 + 128), an output gate and the output;
    - one dense layer of 33,792; 92 with 896 experts of 3·3584·3072, two shared ones of 3·D·3072, a router with a bias,
      and the way to the latent space and back, with a norm;
    - four vectors of D in each layer for attention over earlier blocks, and two before the head.

    The index of the published checkpoint states 1,560.86 GB in all; a vision tower and its projector are left out here.
    """
    hidden, inner = 7168, 96 * 128
    delta = 4 * hidden * inner + hidden * 96 + hidden * 128 + 128 * inner + 3 * inner * 4 + 96 + inner + 128
    latent = hidden * 1536 + 1536 * 96 * 192 + hidden * 576 + 512 * 96 * 256 + hidden * inner + 1536 + 512
    experts = 92 * 896 * 3 * 3584 * 3072
    latents = 2 * hidden * 3584 + 3584
    beside = 92 * (2 * 3 * hidden * 3072 + 896 * hidden + 896 + latents) + 3 * hidden * 33_792
    vectors = 93 * (2 + 4) * hidden + (1 + 2) * hidden
    rest = 69 * delta + 24 * latent + 93 * inner * hidden + beside + vectors + 2 * 163_840 * hidden
    parameters = count(read(fields_of("moonshotai--Kimi-K3"))[1])
    assert parameters.by_part[Part.EXPERTS] == experts
    assert parameters.total == experts + rest
    assert parameters.weight_bytes == pytest.approx(experts * (0.5 + 1 / 32) + 2 * rest, rel=1e-12)
    assert parameters.weight_bytes == pytest.approx(1_560_860_324_864, rel=0.001)


def test_an_indexer_of_several_layers_is_counted_once() -> None:
    """GLM-5.2 is GLM-5 with an indexer in 21 layers in place of 78: queries 2048 · 32 · 128, a key of 128 with its
    norm, a weight for each of 32 heads.
    """
    one = 2048 * 32 * 128 + 6144 * 128 + 2 * 128 + 6144 * 32
    before, after = (count(read(fields_of(f"zai-org--{name}"))[1]).total for name in ("GLM-5", "GLM-5.2"))
    assert before - after == 57 * one
    kinds = read(fields_of("zai-org--GLM-5.2"))[1].layer_kinds()
    own = [i for i, kind in enumerate(kinds) if kind.attention and kind.attention.own_indexer]
    assert own == [0, 1, 2, *range(6, 78, 4)]
    assert {kind.reach.top for kind in kinds} == {2048}


def test_a_layer_of_prediction_has_its_own_indexer() -> None:
    """That of GLM-5.2 is as large as that of GLM-5, whose last layer has one."""
    extras = [read(fields_of(f"zai-org--{name}"))[0].extras for name in ("GLM-5", "GLM-5.2")]
    assert extras[0] == extras[1]
    assert extras[0][0].parameters


def test_extras_are_named_and_counted_by_hand() -> None:
    """DeepSeek-V3's layer of prediction: one MoE layer, two norms and a norm before the head, 2 · 7168 to 7168."""
    spec, _ = read(fields_of("deepseek-ai--DeepSeek-V3"))
    attention = 7168 * 1536 + 1536 * 24_576 + 7168 * 576 + 512 * 32_768 + 16_384 * 7168
    experts = 257 * 3 * 7168 * 2048 + 256 * 7168 + 256
    norms = 2 * 7168 + 1536 + 512
    (mtp,) = spec.extras
    assert (mtp.name, mtp.parameters) == ("mtp", attention + experts + norms + 2 * 7168**2 + 3 * 7168)
    names = [extra.name for extra in read(fields_of("Qwen--Qwen3.5-397B-A17B"))[0].extras]
    assert names == ["mtp", "vision"]


def test_a_principal_attention_is_a_full_one() -> None:
    spec, _ = read(fields_of("google--gemma-4-26B-A4B"))
    assert isinstance(spec.attention, Attention)
    assert (spec.attention.head_dim, spec.attention.kv_heads, spec.attention.key_is_value) == (512, 2, True)


def compiled(name: str, plan: str) -> None:
    _, shapes = read(fields_of(name))
    strategy = plan.replace("{}", "ep" if shapes.experts else "tp").replace("tp 8 ; tp 4", "tp 8")
    strategy = strategy.replace("tp 8 ; cp 2 < tp 2 >", "cp 2 < tp 4 >").replace("tp 8 ; tp 2", "tp 8")
    text = f'model "{FOLDER / name}.json"\ncluster b200-sxm x 64\nworkload {{ batch 64    prompt 2048    output 64 }}\n'
    outcome = check(Source("plan.moe", f"{text}strategy main = {strategy}\n"))
    assert [d for d in outcome.diagnostics if d.stops or d.code.code[0] == "V"] == []
    (checked,) = outcome.checked
    assert checked.priced.timelines is not None
    assert {timeline.priced.graph.phase for timeline in checked.priced.timelines} >= {"prefill", "decode"}
    assert all(timeline.makespan > 0 for timeline in checked.priced.timelines)
    product = export(checked)
    assert product.diagnostics == ()
    assert {"graph.svg", "trace.json", "graph.json"} <= set(product.files)


@pytest.mark.parametrize("name", QUICK)
def test_some_compile(name: str) -> None:
    compiled(name, PLANS[1])


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", NAMES)
def test_all_compile(name: str, plan: str) -> None:
    compiled(name, plan)
