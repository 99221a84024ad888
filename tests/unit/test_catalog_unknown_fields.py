"""Fields of a configuration that are refused, each with its line and the way out that suits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagc.catalog.huggingface.read import read_config, read_config_file
from dagc.catalog.huggingface.report import field_spans
from dagc.catalog.model import ModelSpec
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import render
from dagc.source import Source
from tests.unit.config_files import fields_of

K3, GLM = "moonshotai--Kimi-K3", "zai-org--GLM-5.2"
QWEN, LLAMA4 = "Qwen--Qwen3-30B-A3B", "meta-llama--Llama-4-Scout-17B-16E-Instruct"


def refused(fields: dict[str, Any]) -> Diagnostic:
    problem = read_config(fields, "it")
    assert isinstance(problem, Diagnostic), problem
    return problem


def text_of(name: str, **more: Any) -> dict[str, Any]:
    fields = fields_of(name)
    return {**fields, "text_config": {**fields["text_config"], **more}}


def test_a_field_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\n  "hidden_factor": 2,\n' + json.dumps(fields_of(QWEN))[1:])
    problem = read_config_file(path, Source("plan.moe", "model").span(0, 5))
    assert isinstance(problem, Diagnostic)
    assert problem.code.code == "N129"
    assert "`hidden_factor` (line 2)" in problem.message
    assert f"::: {path}:2:3" in render((problem,))


def test_all_are_named_at_once() -> None:
    problem = refused(text_of(K3, expert_rank=64, heads_by_layer=[1, 2]))
    assert "`text_config.expert_rank`, `text_config.heads_by_layer`" in problem.message


@pytest.mark.parametrize("value", [1, 0, 0.5, [], [1], {}, {"a": 1}, "x", "", True, False])
def test_a_value_of_any_type_is_refused(value: object) -> None:
    assert "`unheard_of`" in refused({**fields_of(QWEN), "unheard_of": value}).message


def test_null_says_nothing() -> None:
    assert isinstance(read_config({**fields_of(QWEN), "unheard_of": None}, "it"), ModelSpec)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (QWEN, "moe_latent", 512),
        (QWEN, "n_shared", 1),
        (QWEN, "shared_expert_intermediate_size", 768),  # read for Qwen2-MoE, not for Qwen3
        ("mistralai--Mixtral-8x7B-v0.1", "attention_bias", True),
        ("mistralai--Mixtral-8x7B-v0.1", "first_k_dense_replace", 2),
        ("meta-llama--Meta-Llama-3.1-70B", "sliding_window", 4096),
        ("meta-llama--Meta-Llama-3.1-70B", "num_experts", 8),
        (QWEN, "per_layer_config", {"0": {"head_dim": 64}}),
    ],
)
def test_a_field_of_another_architecture_is_not_read_by_likeness(name: str, field: str, value: object) -> None:
    problem = refused({**fields_of(name), field: value})
    assert (problem.code.code, f"`{field}`" in problem.message) == ("N129", True)


@pytest.mark.parametrize("place", ["text_config", "linear_attn_config", "quantization_config", "weights"])
def test_sections_are_gone_through(place: str) -> None:
    fields = json.loads(json.dumps(fields_of(K3)))
    text = fields["text_config"]
    quantisation = text["quantization_config"]
    group = quantisation["config_groups"]["group_0"]["weights"]
    holders = {"text_config": text, "linear_attn_config": text["linear_attn_config"], "weights": group}
    {**holders, "quantization_config": quantisation}[place]["rank"] = 3
    assert refused(fields).message.endswith(f"{place}.rank`")


def test_towers_are_not_part_of_the_language_model() -> None:
    fields = fields_of(K3)
    read = read_config({**fields, "vision_config": {**fields["vision_config"], "rank": 3}}, "it")
    assert read == read_config(fields, "it")


def test_what_the_text_part_does_not_say_is_not_taken_from_outside() -> None:
    assert "`hidden_size` is stated outside of `text_config`" in refused({**fields_of(K3), "hidden_size": 4096}).message
    assert isinstance(read_config({**fields_of(K3), "hidden_size": 7168}, "it"), ModelSpec)
    assert "`rank`" in refused({**fields_of(K3), "rank": 3}).message


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"experts_per_token": 4}, "experts_per_token"),
        ({"n_routed_experts": 4}, "n_routed_experts"),
        ({"dtype": "float32"}, "dtype"),
    ],
)
def test_two_names_of_one_field_agree(fields: dict[str, Any], field: str) -> None:
    assert f"`{field}`" in refused({**fields_of(QWEN), **fields}).message
    assert isinstance(read_config({**fields_of(QWEN), "experts_per_token": 8}, "it"), ModelSpec)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"qk_head_dim": 192}, "qk_head_dim"),
        ({"indexer_types": ["full"] * 78}, "indexer_types"),
        ({"indexer_types": ["shared"] + ["full"] * 77, "index_topk_freq": None}, "indexer_types"),
        ({"indexer_types": ["half"] * 78}, "indexer_types"),
        ({"index_topk_pattern": "F" * 78}, "indexer_types"),
        ({"topk_method": "greedy"}, "topk_method"),
    ],
)
def test_fields_that_contradict_each_other(changes: dict[str, Any], field: str) -> None:
    problem = refused({**fields_of(GLM), **changes})
    assert (problem.code.code, f"`{field}`" in problem.message) == ("N127", True)


def test_the_schedule_of_indexers_follows_from_its_numbers_too() -> None:
    fields = fields_of(GLM)
    kinds = read_config({**fields, "indexer_types": None}, "it")
    letters = "".join("F" if kind == "full" else "S" for kind in fields["indexer_types"])
    pattern = {"indexer_types": None, "index_topk_freq": None, "index_topk_pattern": letters}
    assert isinstance(kinds, ModelSpec)
    assert kinds == read_config(fields, "it") == read_config({**fields, **pattern}, "it")


def test_kimi_layers_are_all_of_one_kind_or_the_other() -> None:
    linear = {**fields_of(K3)["text_config"]["linear_attn_config"], "kda_layers": [1, 2]}
    problem = refused(text_of(K3, linear_attn_config=linear))
    assert "`text_config.linear_attn_config.kda_layers`" in problem.message


@pytest.mark.parametrize(
    ("fields", "problem", "help"),
    [
        ({"hidden_size": None}, "is missing", "add the field"),
        ({"hidden_size": "2048"}, "is '2048', not a whole number", "correct its value"),
        ({"num_experts_per_tok": 200}, "more than the 128 experts", "correct its value"),
        ({"layer_types": ["mamba"] * 48}, "layers without attention", "does not support"),
        ({"torch_dtype": "float8"}, "known are", "does not support"),
        ({"quantization_config": {"quant_method": "hqq"}}, "known are", "does not support"),
        ({"quantization_config": {}}, "is missing", "add the field"),
        ({"rank": 3}, "does not read", "can be deleted"),
    ],
)
def test_the_way_out_suits_what_is_wrong(fields: dict[str, Any], problem: str, help: str) -> None:
    found = refused({**fields_of(QWEN), **fields})
    assert problem in found.message
    assert help in found.help[0]


def test_nothing_is_asked_for_that_is_there() -> None:
    """A refusal of a field that the file states never says that it is missing, or that the file is incomplete."""
    for fields in ({"index_topk_pattern": "F" * 78}, {"n_shared_experts": [1, 2]}, {"moe_layer_freq": 2}):
        found = refused({**fields_of(GLM), "mlp_layer_types": None, **fields})
        assert "missing" not in found.message
        assert all("add the field" not in line and "complete" not in line for line in found.help)


def test_lines_of_fields() -> None:
    text = '{"a": 1,\n "b": {"a": "x: {\\"b\\": [", "c":\n [{"d": 1}, "e"], "f" : null},\n "a": 2}'
    spans = field_spans(Source("config.json", text))
    places = {path: (span.source.position(span.start)[0], span.text) for path, span in spans.items()}
    assert places == {"a": (4, '"a"'), "b": (2, '"b"'), "b.a": (2, '"a"'), "b.c": (2, '"c"'), "b.f": (3, '"f"')}
