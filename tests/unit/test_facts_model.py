"""The `model` block in all its forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagc.catalog.attention import AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Experts, ModelSpec
from dagc.catalog.part import Part
from dagc.catalog.presets import load_model, model_names
from dagc.diag.diagnostic import Diagnostic
from dagc.facts.model import declare_model
from dagc.source import Source
from dagc.syntax.parser import parse_fragment

DEMO = """demo {
    layers 16    hidden 2048    vocab 128256    dtype bf16
    attention { heads 32    kv_heads 8    head_dim 64 }
    experts 16 { top 2    ffn 6144    shared 0    gated yes }    first_dense 0
    parameters 10 B
}"""


def declare(text: str, directory: Path = Path()) -> tuple[ModelSpec | None, tuple[Diagnostic, ...]]:
    block, problems = parse_fragment("model", Source("--model", text))
    assert block is not None, problems
    return declare_model(block, directory)


def good(text: str) -> ModelSpec:
    spec, problems = declare(text)
    assert problems == ()
    assert spec is not None
    return spec


def bad(text: str) -> Diagnostic:
    spec, (problem,) = declare(text)
    assert spec is None
    return problem


def test_without_a_block_it_is_the_documented_default() -> None:
    assert declare_model(None, Path()) == (load_model("deepseek-v3"), ())


@pytest.mark.parametrize("name", ["qwen3-235b-a22b", "qwen3.5-397b-a17b", "glm-5"])
def test_in_fp8_a_preset_is_stored_as_its_makers_published_it(name: str) -> None:
    """One fp32 scale for each 128 x 128 weights: 1 + 4 / 16384 bytes; in another type there is none."""
    stored = dict(good(f"{name} {{ dtype fp8 }}").stored)
    assert {stored[part].bytes for part in (Part.ATTENTION, Part.EXPERTS)} == {1 + 4 / 16384}
    assert good(f"{name} {{ dtype int8 }}").stored == good(name).stored == ()


def test_a_model_written_out() -> None:
    spec = good(DEMO)
    shapes = spec.shapes()
    assert shapes is not None
    assert (shapes.layers, shapes.hidden, shapes.vocab) == (16, 2048, 128_256)
    assert (shapes.attention.kind, shapes.attention.kv_heads) == (AttentionKind.GQA, 8)
    assert shapes.experts == Experts(16, 2, 6144)
    assert spec.declared_parameters == 10e9
    assert spec.name == "demo"


def test_places_of_all_written_fields() -> None:
    spans = good(DEMO).spans
    written = {"layers", "hidden", "vocab", "heads", "kv_heads", "head_dim", "experts", "top", "ffn", "parameters"}
    assert written <= set(spans)
    assert spans["experts"].text == "experts 16"
    assert spans["top"].text == "top 2"


def test_a_preset_is_what_the_catalog_has() -> None:
    spec, preset = good("deepseek-v3"), load_model("deepseek-v3")
    assert preset is not None
    assert spec.shapes() == preset.shapes()
    assert spec.source == preset.source


def test_a_preset_with_fields_replaced() -> None:
    spec, preset = good("deepseek-v3 { layers 4    experts 64 { top 4 } }"), load_model("deepseek-v3")
    assert preset is not None
    assert spec.layers == 4
    assert spec.attention == preset.attention
    assert spec.experts == Experts(64, 4, 2048, shared_ffn=2048, router_bias=True, groups=8, top_groups=4)
    assert spec.expert_count == 64 and spec.top == 4


def test_fewer_layers_than_dense_ones() -> None:
    """DeepSeek-V3 has 3 dense layers: cut to two layers, both are dense, and that is no mistake of the author."""
    assert good("deepseek-v3 { layers 2 }").first_dense == 2


def test_shapes_may_be_left_out() -> None:
    spec = good("report { layers 16    experts 16 { top 2 }    parameters 10 B }")
    assert spec.shapes() is None
    assert spec.missing() == ("hidden", "vocab", "attention", "experts.ffn")
    assert (spec.layers, spec.expert_count, spec.top) == (16, 16, 2)


def test_known_heads_without_an_attention() -> None:
    spec = good("report { layers 16\n attention { heads 32 } }")
    assert (spec.heads, spec.attention) == (32, None)
    assert "attention.head_dim" in spec.missing()


def test_a_block_without_a_name() -> None:
    assert good("{ layers 16 }").name == "model"


def test_a_dense_model() -> None:
    spec = good("d { layers 2 hidden 64 vocab 100 experts 0 dense_ffn 128 attention { heads 4 head_dim 16 } }")
    assert spec.is_dense
    shapes = spec.shapes()
    assert shapes is not None
    assert shapes.experts is None
    assert shapes.attention.kind is AttentionKind.MHA
    assert shapes.attention.kv_heads == 4


def test_dense_layers_need_a_width() -> None:
    spec = good(
        "d { layers 4 hidden 64 vocab 9 first_dense 1 experts 8 { top 2 ffn 32 }\n attention { heads 4 head_dim 16 } }"
    )
    assert spec.missing() == ("dense_ffn",)


def test_latent_attention() -> None:
    text = "x { attention { heads 16 kv_lora 512 qk_nope 128 qk_rope 64 v_head 128 } }"
    attention = good(text).attention
    assert attention is not None
    assert (attention.kind, attention.q_lora, attention.head_dim, attention.kv_heads) == (AttentionKind.MLA, 0, 192, 16)


def test_shared_experts_by_number_and_by_width() -> None:
    by_number, by_width = (
        good("a { experts 8 { top 2 ffn 100 shared 3 } }"),
        good("a { experts 8 { top 2 ffn 100 shared_ffn 250 } }"),
    )
    assert by_number.experts and by_number.experts.shared_ffn == 300
    assert by_width.experts and by_width.experts.shared_ffn == 250


def test_a_window_on_every_second_layer() -> None:
    attention = good("a { attention { heads 4 head_dim 16 window 128 every 2 } }").attention
    assert attention is not None
    assert (attention.window, attention.window_every) == (128, 2)


@pytest.mark.parametrize(
    ("text", "weights", "experts", "activations", "cache"),
    [
        ("a { layers 1 }", "bf16", None, "bf16", "bf16"),
        ("a { dtype fp8 }", "fp8", "fp8", "bf16", "bf16"),
        ("a { dtype fp16 }", "fp16", "fp16", "fp16", "fp16"),
        ("a { dtype fp8\n expert_dtype fp4\n kv_dtype fp8 }", "fp8", "fp4", "bf16", "fp8"),
        ("deepseek-v3 { dtype bf16 }", "bf16", "bf16", "bf16", "bf16"),
        ("gpt-oss-20b { kv_dtype fp8 }", "bf16", "mxfp4", "bf16", "fp8"),
    ],
)
def test_types(text: str, weights: str, experts: str | None, activations: str, cache: str) -> None:
    spec = good(text)
    found = (spec.weight_dtype, spec.expert_dtype, spec.activation_dtype, spec.kv_dtype)
    assert found == (Dtype(weights), experts and Dtype(experts), Dtype(activations), Dtype(cache))


def test_gated_in_either_place() -> None:
    assert not good("a { gated no }").gated
    assert not good("a { experts 8 { gated no } }").gated


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("mixtral-8x7", "N110", "mixtral-8x7"),
        ("deepsek-v3 { layers 4 }", "N110", "deepsek-v3"),
        ('"absent.json"', "N128", '"absent.json"'),
        ("64", "N114", "64"),
        ("a b { layers 4 }", "N114", "b"),
        ("a { experts 8 { top 9 } }", "N114", "top 9"),
        ("mixtral-8x7b { experts 1 }", "N114", "experts 1"),
        ("a { experts 0 { top 2 } }", "N114", "top 2"),
        ("a { layers 4 first_dense 5 }", "N114", "first_dense 5"),
        ("a { attention { heads 32 kv_heads 5 } }", "N114", "kv_heads 5"),
        ("mixtral-8x7b { attention { kv_heads 5 } }", "N114", "kv_heads 5"),
        ("a { attention { kind mha\n heads 32 kv_heads 8 } }", "N114", "kv_heads 8"),
        ("a { attention { kind mla\n heads 32 head_dim 8 } }", "N114", "head_dim 8"),
        ("a { attention { kind gqa\n heads 32 q_lora 8 } }", "N114", "q_lora 8"),
        ("a { gated yes\n experts 8 { gated no } }", "N114", "gated yes"),
    ],
)
def test_what_is_wrong_is_said_once_and_at_its_place(text: str, code: str, place: str) -> None:
    problem = bad(text)
    assert (problem.code.code, problem.span and problem.span.text) == (code, place)


def test_the_nearest_preset_is_offered() -> None:
    problem = bad("mixtral-8x7")
    assert problem.help[0] == "did you mean `mixtral-8x7b`?"
    assert "mixtral-8x22b, mixtral-8x7b and " in problem.notes[0]
    assert problem.notes[0].endswith(f"{len(model_names()) - 6} more")


def test_a_name_near_a_presets_is_free_for_a_whole_model() -> None:
    assert good(DEMO.replace("demo", "mixtral-8x7c")).name == "mixtral-8x7c"


def test_valid_numbers_of_kv_heads_are_computed() -> None:
    assert bad("a { attention { heads 12 kv_heads 5 } }").help == ("valid are 1, 2, 3, 4, 6, 12",)


def test_a_configuration_file_beside_the_plan(tmp_path: Path) -> None:
    config = """{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 100,
                 "num_attention_heads": 4, "intermediate_size": 128, "torch_dtype": "float16"}"""
    (tmp_path / "small.json").write_text(config)
    for text in ('"small.json"', "small.json", '"small.json" { layers 3 }'):
        spec, problems = declare(text, tmp_path)
        assert problems == ()
        assert spec is not None
        assert (spec.name, spec.hidden, spec.activation_dtype) == ("small", 64, Dtype.FP16)
