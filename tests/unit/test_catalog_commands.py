"""`dagc models` and `dagc devices`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagc.catalog.presets import device_names, model_names
from dagc.cli.devices import devices
from dagc.cli.models import models


def run(*arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke({"models": models, "devices": devices}[command], rest)


def test_lists() -> None:
    assert run("models").stdout.split() == list(model_names())
    assert run("devices").stdout.split() == list(device_names())
    assert json.loads(run("models", "--format", "json").stdout) == {"models": list(model_names())}
    assert json.loads(run("devices", "--format", "json").stdout) == {"devices": list(device_names())}


def test_a_model_as_json() -> None:
    document = json.loads(run("models", "deepseek-v3", "--format", "json").stdout)
    parameters = document["parameters"]
    assert document["name"] == "deepseek-v3"
    assert parameters["total"] == 671_026_419_200
    assert parameters["active"] == {
        "all": 37_552_297_472,
        "without_input_embedding": 36_625_618_432,
        "without_embeddings": 35_698_939_392,
    }
    assert sum(parameters["by_part"].values()) == parameters["total"]
    assert document["kv_bytes_per_token"] == 70_272
    assert document["shapes"]["attention"]["kv_lora"] == 512


def test_a_model_as_text() -> None:
    text = run("models", "mixtral-8x7b").stdout
    assert "46,702,792,704" in text
    assert "12,879,925,248" in text
    assert "131,072 bytes per token" in text
    assert "mistralai/Mixtral-8x7B-v0.1" in text


@pytest.mark.parametrize("name", model_names())
def test_every_model_can_be_shown(name: str) -> None:
    assert run("models", name).exit_code == 0


@pytest.mark.parametrize("name", device_names())
def test_every_device_can_be_shown(name: str) -> None:
    assert run("devices", name).exit_code == 0
    assert json.loads(run("devices", name, "--format", "json").stdout)["memory_bytes"] >= 64e9


def test_a_device_as_json() -> None:
    document = json.loads(run("devices", "h100-sxm", "--format", "json").stdout)
    assert document["flops"]["fp8"] == 1979e12
    assert document["gpus_per_node"] == 8
    assert "datasheet" in document["sources"]


def test_a_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text("""{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 100,
                        "num_attention_heads": 4, "intermediate_size": 128}""")
    document = json.loads(run("models", str(path), "--format", "json").stdout)
    # Two matrices of 100 x 64; in each layer four of 64 x 64, three of 64 x 128 and two norms of 64; one norm more.
    assert document["parameters"]["total"] == 2 * 6400 + 2 * (4 * 4096 + 3 * 8192 + 128) + 64


@pytest.mark.parametrize(("command", "near"), [("models", "mixtral-8x7b"), ("devices", "h100-sxm")])
def test_an_unknown_name(command: str, near: str) -> None:
    result = run(command, near[:-1])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "N110" in result.stderr
    assert f"did you mean `{near}`?" in result.stderr


def test_a_file_that_is_not_there() -> None:
    result = run("models", "no/such.json")
    assert result.exit_code == 2
    assert "N128" in result.stderr
