"""Quantisation that a configuration does not state itself: a file beside it, and names that say that there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagc.catalog.dtype import Dtype
from dagc.catalog.huggingface.read import QUANTISATION_ELSEWHERE, read_config, read_config_file
from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.source import Source
from tests.unit.config_files import fields_of

MODEL = fields_of("Qwen--Qwen3-30B-A3B")
QUANT = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}


def checkpoint(directory: Path, beside: object = None, **fields: Any) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({**MODEL, **fields}))
    if beside is not None:
        content = beside if isinstance(beside, bytes) else json.dumps(beside).encode()
        (directory / "hf_quant_config.json").write_bytes(content)
    return directory / "config.json"


def model(path: Path) -> ModelSpec:
    spec = read_config_file(path)
    assert isinstance(spec, ModelSpec), spec
    return spec


def problem(path: Path) -> Diagnostic:
    found = read_config_file(path)
    assert isinstance(found, Diagnostic)
    return found


def test_the_file_beside_is_read(tmp_path: Path) -> None:
    spec = model(
        checkpoint(tmp_path / "Qwen3-30B-A3B-NVFP4", {"producer": {"name": "modelopt"}, "quantization": QUANT})
    )
    assert (spec.weight_dtype, spec.expert_dtype, spec.kv_dtype) == (Dtype.NVFP4, Dtype.NVFP4, Dtype.FP8)
    assert spec.warnings == ()


def test_its_exceptions_are_applied(tmp_path: Path) -> None:
    names = ["*.self_attn", "lm_head"]
    shapes = model(checkpoint(tmp_path / "m", {"quantization": {**QUANT, "exclude_modules": names}})).shapes()
    assert shapes is not None
    stored = [part_stored(shapes, part).dtype for part in (Part.ATTENTION, Part.EXPERTS, Part.HEAD)]
    assert stored == [Dtype.BF16, Dtype.NVFP4, Dtype.BF16]


def test_a_configuration_that_states_its_own_does_not_need_it(tmp_path: Path) -> None:
    spec = model(checkpoint(tmp_path / "m", b"{", quantization_config={"quant_method": "fp8"}))
    assert spec.weight_dtype is Dtype.FP8


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe\x00", b"[" * 100_000, b"{}", b'{"quantization": [1]}'])
def test_a_file_beside_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    found = problem(checkpoint(tmp_path / "m", content))
    assert found.code.code == "N128"
    assert "hf_quant_config.json" in found.message


@pytest.mark.parametrize(
    ("section", "code", "field"),
    [
        ({"quant_algo": "MIXED_PRECISION"}, "N127", "quantization_config.quant_algo"),
        ({**QUANT, "exclude_modules": 3}, "N127", "quantization_config.exclude_modules"),
        ({**QUANT, "quantized_layers": {"a": {}}}, "N129", "quantization_config.quantized_layers"),
        ({}, "N127", "quantization_config.quant_algo"),
    ],
)
def test_what_it_says_is_judged_by_the_same_rules(
    tmp_path: Path, section: dict[str, Any], code: str, field: str
) -> None:
    found = problem(checkpoint(tmp_path / "m", {"quantization": section}))
    assert (found.code.code, f"`{field}`" in found.message) == (code, True)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("DeepSeek-V3.1-NVFP4", "NVFP4"), ("Llama-3.1-70B-Instruct-AWQ-INT4", "AWQ"), ("model_fp8", "fp8"),
        ("Qwen2.5-72B-GPTQ-Int8", "GPTQ"), ("NVIDIA-Nemotron-3-Super-120B-A12B-FP8", "FP8"), ("x-w8a8-v2", "w8a8"),
    ],
)  # fmt: skip
def test_a_name_that_says_more_than_the_file(tmp_path: Path, name: str, word: str) -> None:
    """By directory, by what the file calls itself, and by the file's own name."""
    (tmp_path / f"{name}.json").write_text(json.dumps(MODEL))
    places = (checkpoint(tmp_path / name), checkpoint(tmp_path / "m", _name_or_path=f"org/{name}"))
    for path in (*places, tmp_path / f"{name}.json"):
        (warning,) = model(path).warnings
        assert warning.code is QUANTISATION_ELSEWHERE
        assert word in warning.message


@pytest.mark.parametrize("name", ["Qwen3-30B-A3B-BF16", "fp8less-model", "Mixtral-8x7B", "int4model", "Q4B"])
def test_a_name_that_says_nothing_of_it(tmp_path: Path, name: str) -> None:
    assert model(checkpoint(tmp_path / name)).warnings == ()


def test_a_file_beside_one_of_another_name_may_be_of_another_model(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "models", {"quantization": QUANT}).rename(tmp_path / "models" / "qwen.json")
    (warning,) = model(path).warnings
    assert "there is a `hf_quant_config.json` beside it" in warning.message


def test_a_quantised_file_needs_no_warning() -> None:
    spec = read_config({**MODEL, "quantization_config": {"quant_method": "fp8"}}, "Qwen3-30B-A3B-FP8")
    assert isinstance(spec, ModelSpec)
    assert spec.warnings == ()


@pytest.mark.parametrize(("fields", "expected"), [("", ["W142"]), (" { dtype fp8 }", []), (" { layers 4 }", ["W142"])])
def test_a_plan_gets_the_warning_unless_it_states_a_type(tmp_path: Path, fields: str, expected: list[str]) -> None:
    path = checkpoint(tmp_path / "Qwen3-30B-A3B-FP8")
    outcome = check(Source("plan.moe", f'model "{path}"{fields}\ncluster h100-sxm x 2\nstrategy main = ep 2\n'))
    assert [d.code.code for d in outcome.diagnostics if d.code.code in {"W142", "N127", "N129"}] == expected
    assert len(outcome.checked) == 1
