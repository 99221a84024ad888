"""Reading `config.json`: each family against its preset, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagc.catalog.huggingface.read import read_config, read_config_file
from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import count
from dagc.catalog.presets import load_model
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.source import Source


def base(kind: str, layers: int, hidden: int, heads: int, kv_heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "torch_dtype": "bfloat16",
        **more,
    }


LATENT = {"q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
DEEPSEEK = {**LATENT, "n_shared_experts": 1, "moe_intermediate_size": 2048, "topk_method": "noaux_tc"}
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}

CONFIGS: dict[str, dict[str, Any]] = {
    "mixtral-8x7b": base(
        "mixtral", 32, 4096, 32, 8, 32_000, num_local_experts=8, num_experts_per_tok=2, intermediate_size=14_336
    ),
    "llama-3.1-70b": base("llama", 80, 8192, 64, 8, 128_256, intermediate_size=28_672),
    "qwen3-32b": base("qwen3", 64, 5120, 64, 8, 151_936, head_dim=128, intermediate_size=25_600),
    "qwen3-235b-a22b": base(
        "qwen3_moe", 94, 4096, 64, 4, 151_936, head_dim=128, num_experts=128, num_experts_per_tok=8,
        moe_intermediate_size=1536, intermediate_size=12_288, decoder_sparse_step=1, mlp_only_layers=[],
    ),
    "qwen1.5-moe-a2.7b": base(
        "qwen2_moe", 24, 2048, 16, 16, 151_936, num_experts=60, num_experts_per_tok=4, moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632, intermediate_size=5632,
    ),
    "deepseek-v3": base(
        "deepseek_v3", 61, 7168, 128, 128, 129_280, n_routed_experts=256, num_experts_per_tok=8,
        intermediate_size=18_432, first_k_dense_replace=3, n_group=8, topk_group=4, **DEEPSEEK, **FP8,
    ),
    "kimi-k2": base(
        "kimi_k2", 61, 7168, 64, 64, 163_840, n_routed_experts=384, num_experts_per_tok=8,
        intermediate_size=18_432, first_k_dense_replace=1, **DEEPSEEK, **FP8,
    ),
    "deepseek-v2-lite": base(
        "deepseek_v2", 27, 2048, 16, 16, 102_400, n_routed_experts=64, num_experts_per_tok=6,
        intermediate_size=10_944, first_k_dense_replace=1,
        **{**LATENT, "q_lora_rank": None, "n_shared_experts": 2, "moe_intermediate_size": 1408,
           "topk_method": "greedy"},
    ),
    "gpt-oss-20b": base(
        "gpt_oss", 24, 2880, 64, 8, 201_088, head_dim=64, num_local_experts=32, num_experts_per_tok=4,
        intermediate_size=2880, sliding_window=128, attention_bias=True,
        layer_types=["sliding_attention", "full_attention"] * 12, quantization_config={"quant_method": "mxfp4"},
    ),
}  # fmt: skip
"""The fields that count, as the models' makers publish them."""


def spec_of(data: dict[str, Any]) -> ModelSpec:
    spec = read_config(data, "it")
    assert isinstance(spec, ModelSpec), spec
    return spec


def problem_of(data: dict[str, Any]) -> Diagnostic:
    problem = read_config(data, "it")
    assert isinstance(problem, Diagnostic)
    return problem


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_has_the_shapes_of_its_preset(name: str) -> None:
    preset = load_model(name)
    assert preset is not None
    mine, theirs = spec_of(CONFIGS[name]).shapes(), preset.shapes()
    assert mine is not None and theirs is not None
    assert count(mine) == count(theirs)
    assert mine.attention == theirs.attention
    assert mine.experts == theirs.experts
    assert mine.layer_kinds() == theirs.layer_kinds()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_that_counts_is_asked_for(name: str) -> None:
    """Without a field there is a message that names it, or the library's own default holds; never a traceback."""
    for field in CONFIGS[name]:
        lesser = {key: value for key, value in CONFIGS[name].items() if key != field}
        result = read_config(lesser, "it")
        assert isinstance(result, ModelSpec) or field in result.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_local_experts", None),
        ("hidden_size", "4096"),
        ("hidden_size", -1),
        ("num_hidden_layers", 10**9),
        ("vocab_size", True),
        ("torch_dtype", ["bfloat16"]),
        ("tie_word_embeddings", "no"),
        ("quantization_config", {"quant_method": "gptq"}),
    ],
)
def test_a_bad_field_is_named(field: str, value: object) -> None:
    problem = problem_of({**CONFIGS["mixtral-8x7b"], field: value})
    assert problem.code.code == "N127"
    assert f"`{field}" in problem.message


@pytest.mark.parametrize("kind", ["something_new", None, ["mixtral"]])
def test_an_unknown_architecture_is_refused(kind: object) -> None:
    problem = problem_of({**CONFIGS["mixtral-8x7b"], "model_type": kind})
    assert problem.code.code == "N126"
    assert "mixtral" in problem.notes[0]
    assert ("states no architecture" in problem.message) == (kind is None) and "None" not in problem.message


def block_of(data: dict[str, Any]) -> str:
    """The block that N126 prints for a file of an unknown architecture."""
    return problem_of({**data, "model_type": "unknown"}).help[0].partition("\n")[2]


def test_an_unknown_architecture_gets_a_block_of_what_has_usual_names() -> None:
    assert block_of(CONFIGS["deepseek-v3"]).splitlines()[1:] == [
        "    layers 61    hidden 7168    vocab 129280",
        "    dtype bf16",
        "    attention { heads 128    q_lora 1536    kv_lora 512    qk_nope 128    qk_rope 64    v_head 128 }",
        "    experts 256 { top 8    ffn 2048    shared 1 }",
        "    dense_ffn 18432    first_dense 3",
        "}",
    ]


def test_a_block_says_what_has_no_usual_name() -> None:
    data = {name: value for name, value in CONFIGS["mixtral-8x7b"].items() if name not in ("vocab_size", "hidden_size")}
    found = block_of({**data, "num_experts_per_tok": "two"})
    assert "layers 32    # to be added: hidden, vocab" in found
    assert "attention { heads 32    kv_heads 8 }    # to be added: head_dim" in found
    assert "experts 8 { ffn 14336 }    # to be added: top" in found


@pytest.mark.parametrize("name", CONFIGS)
def test_a_block_is_one_of_the_language(name: str) -> None:
    """Completed or not: what is written is a model that the language reads without a complaint."""
    text = block_of(CONFIGS[name])
    outcome = check(Source("plan.moe", f"{text}\nstrategy one = tp 1\n"))
    assert [problem.code.code for problem in outcome.diagnostics if problem.code.code[0] == "N"] == []


def test_the_block_of_a_usual_architecture_counts_the_same() -> None:
    """Mixtral has nothing that the usual names do not state: 46,702,792,704 parameters."""
    outcome = check(Source("plan.moe", f"{block_of(CONFIGS['mixtral-8x7b'])}\nstrategy one = ep 8\n"))
    (checked,) = outcome.checked
    shapes = checked.plan.facts.model.shapes()
    assert shapes is not None
    assert count(shapes).total == 46_702_792_704


def test_a_name_that_is_no_word_of_the_language_is_not_printed() -> None:
    problem = read_config({"model_type": "x"}, "a }\u202e\n")
    assert isinstance(problem, Diagnostic)
    assert problem.help[0].splitlines()[1] == "model own-model {"


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("deepseek-v3", "moe_layer_freq", 2),
        ("deepseek-v3", "moe_layer_freq", [0, 1]),
        ("gpt-oss-20b", "layer_types", ["full_attention"] * 23),
        ("gpt-oss-20b", "layer_types", ["linear_attention"] * 24),
        ("gpt-oss-20b", "layer_types", [["full_attention"]] * 24),
        ("mixtral-8x7b", "num_experts_per_tok", 9),
        ("mixtral-8x7b", "num_key_value_heads", 5),
    ],
)
def test_what_shapes_cannot_express_is_refused(name: str, field: str, value: object) -> None:
    problem = problem_of({**CONFIGS[name], field: value})
    assert problem.code.code == "N127"
    assert field in problem.message


def test_a_window_from_some_layer_on() -> None:
    fields = {**CONFIGS["qwen3-32b"], "use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 60}
    shapes = spec_of(fields).shapes()
    assert shapes is not None
    assert [kind.window for kind in shapes.layer_kinds()] == [None] * 60 + [4096] * 4
    assert "sliding_window" in problem_of({**fields, "sliding_window": None}).message


def test_head_dim_defaults_as_in_the_library() -> None:
    attention = spec_of(CONFIGS["mixtral-8x7b"]).attention
    assert attention is not None
    assert attention.head_dim == 4096 // 32


def test_the_text_part_of_a_multi_modal_configuration() -> None:
    outer = {
        "model_type": "something_with_vision",
        "text_config": CONFIGS["llama-3.1-70b"],
        "tie_word_embeddings": True,
    }
    spec = spec_of(outer)
    assert spec.layers == 80
    assert spec.tied


def test_a_sparse_step_makes_every_second_layer_dense() -> None:
    spec = spec_of({**CONFIGS["qwen3-235b-a22b"], "decoder_sparse_step": 2})
    assert (spec.moe_every, spec.dense_ffn) == (2, 12_288)


def test_a_file_is_named_after_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "my-mixtral"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIGS["mixtral-8x7b"]))
    spec = read_config_file(directory / "config.json")
    assert isinstance(spec, ModelSpec)
    assert spec.name == "my-mixtral"


@pytest.mark.parametrize("content", [b"[1, 2]", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    problem = read_config_file(path)
    assert isinstance(problem, Diagnostic)
    assert problem.code.code == "N128"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.json", tmp_path / "nul\0.json"):
        problem = read_config_file(path)
        assert isinstance(problem, Diagnostic)
        assert problem.code.code == "N128"
