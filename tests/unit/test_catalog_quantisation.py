"""`quantization_config`: bytes an element of each part, by the method's own definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagc.catalog.dtype import Dtype
from dagc.catalog.huggingface.read import read_config, read_config_file
from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.diag.diagnostic import Diagnostic
from tests.unit.config_files import read

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
        [f"model.layers.{i}.self_attn.q_proj" for i in range(4)],
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
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:("]}, "ignore"),
    ],
)
def test_what_is_not_known_is_named(section: dict[str, Any], field: str) -> None:
    problem = read_config({**MODEL, "quantization_config": section}, "it")
    assert isinstance(problem, Diagnostic)
    assert problem.code.code == "N127"
    assert f"quantization_config.{field}" in problem.message


def test_a_section_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    (tmp_path / "hf_quant_config.json").write_text(
        '{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}'
    )
    spec = read_config_file(tmp_path / "config.json")
    assert isinstance(spec, ModelSpec)
    assert (spec.weight_dtype, spec.expert_dtype, spec.kv_dtype) == (Dtype.NVFP4, Dtype.NVFP4, Dtype.FP8)
