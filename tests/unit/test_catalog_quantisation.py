"""`quantization_config`: bytes an element of each part, by the method's own definition."""

from __future__ import annotations

from typing import Any

import pytest

from dagc.catalog.dtype import Dtype
from dagc.catalog.huggingface.read import read_config
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.diag.diagnostic import Diagnostic
from tests.unit.config_files import fields_of, read

MODEL: dict[str, Any] = {
    "model_type": "qwen2_moe", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
    "num_key_value_heads": 4, "vocab_size": 1000, "torch_dtype": "bfloat16", "num_experts": 8,
    "num_experts_per_tok": 2, "moe_intermediate_size": 128, "shared_expert_intermediate_size": 128,
}  # fmt: skip

GROUP = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True}}
FLOAT = {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}
EIGHT = {"weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
CONVERTED = (Part.ATTENTION, Part.EXPERTS, Part.SHARED_EXPERTS)


def stored(section: dict[str, Any]) -> dict[Part, float]:
    _, shapes = read({**MODEL, "quantization_config": section})
    return {part: part_stored(shapes, part).bytes for part in Part}


@pytest.mark.parametrize(
    ("section", "size"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 1 + 4 / 128**2),
        ({"quant_method": "fp8"}, 1),
        ({"quant_method": "fbgemm_fp8"}, 1),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 0.5 + (2 + 0.5) / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 1),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, 0.5 + (2 + 0.5) / 64),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP}}, 0.5 + 2 / 32),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": FLOAT}}, 0.5 + 1 / 16),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": EIGHT}}, 1),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 0.5 + 1 / 16),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, 1),
    ],
)
def test_bytes_of_a_converted_element(section: dict[str, Any], size: float) -> None:
    sizes = stored(section)
    assert [sizes[part] for part in CONVERTED] == [pytest.approx(size)] * 3
    assert {sizes[part] for part in (Part.EMBEDDING, Part.NORMS, Part.ROUTER, Part.HEAD)} == {2.0}


@pytest.mark.parametrize(
    "names",
    [
        ["lm_head", "self_attn"],
        ["model.layers.*.self_attn"],
        [f"model.layers.{i}.self_attn.{m}_proj" for i in range(4) for m in "qkvo"],
        ["re:.*self_attn.*"],
        [f"language_model.model.layers.{i}.self_attn*" for i in range(4)],
    ],
)
def test_exceptions_by_name(names: list[str]) -> None:
    sizes = stored({"quant_method": "fp8", "modules_to_not_convert": names})
    assert [sizes[part] for part in CONVERTED] == [2, 1, 1]


def test_the_gate_of_the_router_is_not_the_gate_of_an_expert() -> None:
    sizes = stored({"quant_method": "fp8", "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]})
    assert [sizes[part] for part in CONVERTED] == [1, 1, 1]


def test_only_the_experts_of_mxfp4() -> None:
    sizes = stored({"quant_method": "mxfp4"})
    assert [sizes[part] for part in CONVERTED] == [2, 0.5 + 1 / 32, 2]


@pytest.mark.parametrize(
    "section",
    [
        {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        {"quant_method": "compressed-tensors", "config_groups": {"g": EIGHT}, "kv_cache_scheme": {"num_bits": 8}},
    ],
)
def test_a_quantised_cache(section: dict[str, Any]) -> None:
    assert read({**MODEL, "quantization_config": section})[0].kv_dtype is Dtype.FP8


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"quant_method": "something"}, "quant_method"),
        ({}, "quant_method"),
        ({"quant_method": "gptq", "bits": 3}, "bits"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size"),
        ({"quant_method": "compressed-tensors"}, "config_groups"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": GROUP, "b": FLOAT}}, "config_groups"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "quant_algo"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:("]}, "modules_to_not_convert"),
        ({"quant_method": "fp8", "modules_to_not_convert": [1]}, "modules_to_not_convert"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": None}}, "config_groups.a"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 32}, "group_size"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "NVFP4"}, "kv_cache_quant_algo"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*down.*": {"bits": 8}}}, "dynamic"),
    ],
)
def test_what_is_not_known_is_named(section: dict[str, Any], field: str) -> None:
    problem = read_config({**MODEL, "quantization_config": section}, "it")
    assert isinstance(problem, Diagnostic)
    assert problem.code.code == "N127"
    assert f"quantization_config.{field}" in problem.message


def group(*targets: str, **weights: Any) -> dict[str, Any]:
    return {"targets": list(targets), "weights": {"type": "int", "group_size": 32, "symmetric": True, **weights}}


def test_a_part_of_which_some_matrices_are_exceptions_is_counted_by_its_elements() -> None:
    """MHA: queries, keys, values and output are alike large; one of four stays in bf16. So does one layer of four."""
    for names in (["q_proj"], ["model.layers.2.self_attn"], ["re:.*layers\\.2\\.self_attn.*"]):
        sizes = stored({"quant_method": "fp8", "modules_to_not_convert": names})
        assert [sizes[part] for part in CONVERTED] == [(2 + 3 * 1) / 4, 1, 1]


def test_groups_have_targets() -> None:
    """Eight bits for attention, four for the experts, nothing for shared experts."""
    groups = {"a": group("re:.*self_attn.*", num_bits=8), "b": group("re:.*mlp.experts.*", num_bits=4)}
    sizes = stored({"quant_method": "compressed-tensors", "config_groups": groups})
    assert [sizes[part] for part in CONVERTED] == [1 + 2 / 32, 0.5 + 2 / 32, 2]


def test_a_group_that_names_a_module_counts_before_one_of_every_matrix() -> None:
    groups = {"a": group("Linear", num_bits=4), "b": group("re:.*self_attn.*", num_bits=8)}
    sizes = stored({"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head"]})
    assert [sizes[part] for part in CONVERTED] == [1 + 2 / 32, 0.5 + 2 / 32, 0.5 + 2 / 32]


@pytest.mark.parametrize(
    ("section", "head"),
    [
        ({"quant_method": "compressed-tensors", "config_groups": {"g": GROUP}, "ignore": ["lm_head"]}, 2),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": GROUP}, "ignore": ["re:.*lm_head.*"]}, 2),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": GROUP}, "ignore": []}, 0.5 + 2 / 32),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]}, 2),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["*self_attn*"]}, 1),
        ({"quant_method": "gptq", "bits": 8, "lm_head": True}, 1),
        ({"quant_method": "gptq", "bits": 8, "lm_head": False}, 2),
        ({"quant_method": "fp8", "modules_to_not_convert": []}, 2),
    ],
)
def test_the_head_is_converted_where_the_method_says_so(section: dict[str, Any], head: float) -> None:
    sizes = stored(section)
    assert sizes[Part.HEAD] == head
    assert {sizes[part] for part in (Part.EMBEDDING, Part.NORMS, Part.ROUTER)} == {2.0}


def test_a_tied_head_stays_with_the_embedding() -> None:
    section = {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": []}
    _, shapes = read({**MODEL, "tie_word_embeddings": True, "quantization_config": section})
    assert part_stored(shapes, Part.HEAD).bytes == 2


@pytest.mark.parametrize(
    ("section", "sizes"),
    [
        # Kimi-K2.5 and K3: all but the routed experts are exceptions, by pattern.
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": GROUP},
             "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_expert.*", "re:.*mlp\\.(gate|up|down)_proj.*"]},
            [2, 0.5 + 2 / 32, 2, 2],
        ),
        # gpt-oss: only the experts, whatever the list says.
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}, [2, 0.5 + 1 / 32, 2, 2]),
        # MiniMax-M2.5 and Qwen3-FP8: router, norms and head, which are never converted.
        ({"quant_method": "fp8", "modules_to_not_convert": ["gate", "model.layers.0.mlp.gate", "lm_head"]}, [1] * 4),
        # ModelOpt: attention and dense layers, with a star in place of steps.
        (
            {"quant_method": "modelopt", "quant_algo": "FP8",
             "exclude_modules": ["model.layers.*.self_attn*", "model.layers.0*", "lm_head"]},
            [2, 1, 1, 2],
        ),
        ({"quant_method": "awq", "bits": 8, "modules_to_not_convert": ["shared_expert"]}, [1, 1, 2, 1]),
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["model.layers.0.mlp"]}, [1, 1, 1, 2]),
    ],
)  # fmt: skip
def test_lists_of_each_method_by_part(section: dict[str, Any], sizes: list[float]) -> None:
    """Attention, experts, shared experts, and a dense first layer."""
    model = {**MODEL, "mlp_only_layers": [0], "intermediate_size": 512}
    _, shapes = read({**model, "quantization_config": section})
    parts = (*CONVERTED, Part.DENSE_FFN)
    assert [part_stored(shapes, part).bytes for part in parts] == [pytest.approx(size) for size in sizes]


def test_states_are_converted_by_the_names_that_their_layers_have() -> None:
    """Kimi Linear keeps its delta layers under the same name as attention, Nemotron-H every block as `mixer`."""
    section = {"quant_method": "compressed-tensors", "config_groups": {"g": GROUP}}
    fields = fields_of("moonshotai--Kimi-K3")
    text = {**fields["text_config"], "quantization_config": {**section, "ignore": ["re:.*self_attn.*"]}}
    _, shapes = read({**fields, "text_config": text})
    assert [part_stored(shapes, part).dtype for part in (Part.MIXERS, Part.ATTENTION)] == [Dtype.BF16] * 2
    assert part_stored(shapes, Part.DENSE_FFN).dtype is Dtype.INT4
    nemotron = fields_of("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16")
    names = ["backbone.layers.*.mixer.in_proj", "backbone.layers.*.mixer.out_proj"]
    fp8 = {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": names}
    _, shapes = read({**nemotron, "quantization_config": fp8})
    assert [part_stored(shapes, part).bytes for part in (Part.MIXERS, Part.ATTENTION, Part.EXPERTS)] == [2, 1, 1]


TENSOR = {"dynamic": False, "num_bits": 8, "observer": "minmax", "observer_kwargs": {}, "type": "float"}
PUBLISHED: dict[str, tuple[dict[str, Any], float]] = {
    "modelopt": (
        {
            "config_groups": {"group_0": {"input_activations": TENSOR, "weights": TENSOR, "targets": ["Linear"]}},
            "ignore": ["lm_head"], "quant_algo": "FP8", "kv_cache_scheme": TENSOR, "quant_method": "modelopt",
            "producer": {"name": "modelopt", "version": "0.35.0"},
        }, 1,
    ),
    "modelopt, flat": (
        {
            "quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": None, "group_size": 16,
            "has_zero_point": False, "pre_quant_scale": False, "exclude_modules": ["lm_head"],
        }, 0.5 + 1 / 16,
    ),
    "compressed-tensors": (
        {
            "config_groups": {"group_0": {
                "format": "float-quantized", "input_activations": {**TENSOR, "dynamic": True, "strategy": "token"},
                "output_activations": None, "targets": ["Linear"],
                "weights": {**TENSOR, "strategy": "channel", "symmetric": True, "actorder": None},
            }},
            "format": "float-quantized", "global_compression_ratio": None, "ignore": ["lm_head"],
            "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed",
            "sparsity_config": {}, "transform_config": {}, "version": "0.11.0",
        }, 1,
    ),
    "gptq": (
        {
            "bits": 4, "group_size": 128, "damp_percent": 0.01, "desc_act": False, "static_groups": False, "sym": True,
            "true_sequential": True, "model_name_or_path": None, "model_file_base_name": "model",
            "quant_method": "gptq", "checkpoint_format": "gptq", "dynamic": {}, "lm_head": False,
            "meta": {"damp_percent": 0.01, "quantizer": ["gptqmodel:2.0.0"]}, "pack_dtype": "int32",
        }, 0.5 + (2 + 0.5) / 128,
    ),
    "awq": (
        {
            "bits": 4, "group_size": 64, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
            "zero_point": True,
        }, 0.5 + (2 + 0.5) / 64,
    ),
    "fbgemm": (
        {"activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"], "quant_method": "fbgemm_fp8"}, 1,
    ),
}  # fmt: skip
"""Sections with all the fields that the methods write."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_fields_that_a_method_writes_are_known(name: str) -> None:
    section, size = PUBLISHED[name]
    assert [stored(section)[part] for part in CONVERTED] == [pytest.approx(size)] * 3
