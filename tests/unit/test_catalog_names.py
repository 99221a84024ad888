"""Names of presets: which a written name stands for, and that no other is ever offered by a slip of a digit."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from dagc.catalog.presets import candidates, device_names, find_device, find_model, load_device, load_model, model_names
from dagc.cli.main import main
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.source import Source

PRESETS = [("model", name) for name in model_names()] + [("cluster", name) for name in device_names()]
NAMES = {"model": model_names(), "cluster": device_names()}
FIND: dict[str, Callable[[str], str | None]] = {"model": find_model, "cluster": find_device}
SUGGESTED = re.compile(r"`([^`]+)`")


def problems(keyword: str, name: str) -> list[Diagnostic]:
    """What is said of a name in a block's head: of names alone, whatever else is wrong with the plan."""
    found = check(Source("plan.moe", "ep 1"), ((keyword, Source(f"--{keyword}", name)),)).diagnostics
    return [diagnostic for diagnostic in found if diagnostic.code.code == "N110"]


def beginnings(name: str) -> list[str]:
    """`a-b-c` begins with `a`, `a-b` and itself."""
    parts = name.split("-")
    return ["-".join(parts[:count]) for count in range(1, len(parts) + 1)]


@pytest.mark.parametrize(("keyword", "name"), PRESETS)
def test_every_beginning_of_a_name_is_a_preset_or_lists_some(keyword: str, name: str) -> None:
    for beginning in beginnings(name):
        fitting = [n for n in NAMES[keyword] if n.split("-")[: beginning.count("-") + 1] == beginning.split("-")]
        whole = beginning in NAMES[keyword]
        for written in (beginning, beginning.upper()):
            if whole or len(fitting) == 1:
                assert FIND[keyword](written) == (beginning if whole else fitting[0])
                assert problems(keyword, written) == []
            else:
                (problem,) = problems(keyword, written)
                assert SUGGESTED.findall(problem.help[0]) == fitting
                assert problem.fixes == ()


def digits(name: str) -> list[str]:
    return re.findall(r"\d+", name)


@pytest.mark.slow
@pytest.mark.parametrize(("keyword", "name"), PRESETS)
def test_no_suggestion_differs_in_a_digit(keyword: str, name: str) -> None:
    """Of names with one character changed, left out, doubled or put in."""
    for at in range(len(name)):
        for piece in ("", name[at] * 2, "0", "1", "x"):
            written = name[:at] + piece + name[at + 1 :]
            if not re.fullmatch(r"[a-z][\w.-]*", written) or candidates(written, NAMES[keyword]):
                continue
            (problem,) = problems(keyword, written)
            offered = [n for text in problem.help if "did you mean" in text for n in SUGGESTED.findall(text)]
            assert all(digits(one) == digits(written) for one in offered)
            assert all(digits(edit.replacement) == digits(written) for fix in problem.fixes for edit in fix.edits)


def test_names_as_people_write_them() -> None:
    assert [find_device(name) for name in ("h200", "H200", "H200-SXM", "h20", "gb200", "a100")] == [
        "h200-sxm", "h200-sxm", "h200-sxm", "h20-sxm", "gb200-nvl72", "a100-80gb-sxm"
    ]  # fmt: skip
    assert find_model("qwen3-235b") == "qwen3-235b-a22b"
    assert [find_model(name) for name in ("deepseek-v3", "DeepSeek-V3")] == ["deepseek-v3", "deepseek-v3"]
    assert find_model("deepseek") is None and find_model("glm-4") is None and find_device("h2") is None


def test_hugging_face_ids() -> None:
    assert find_model("deepseek-ai/DeepSeek-V3") == "deepseek-v3"
    assert find_model("moonshotai/Kimi-K2-Instruct") == find_model("MOONSHOTAI/kimi-k2-instruct") == "kimi-k2"
    assert find_model("Qwen/Qwen3-235B") is None
    assert find_model("Qwen/Qwen3-Coder-30B-A3B-Instruct") is None


def test_a_cluster_is_called_as_its_preset() -> None:
    (checked,) = check(Source("p", "model mixtral-8x7b\ncluster H200 x 8\nep 8")).checked
    assert (checked.plan.facts.cluster.name, checked.plan.facts.cluster.gpus) == ("h200-sxm", 8)
    assert checked.plan.facts.named == (("H200", "h200-sxm"),)


@pytest.mark.parametrize(
    ("cluster", "device"),
    [
        ("h200 x 8", "h200-sxm"),
        ("h200 { gpus 8 node 4 }", "h200-sxm"),
        ("lab { gpus 8 device h20 }", "h20-sxm"),
    ],
)
def test_short_names_in_every_form_of_a_cluster(cluster: str, device: str) -> None:
    (checked,) = check(Source("p", f"model mixtral-8x7b\ncluster {cluster}\nep 8")).checked
    assert checked.plan.facts.cluster.device == getattr(load_device(device), "device")  # noqa: B009


def test_short_names_in_options_and_commands() -> None:
    text = "model mixtral-8x7b\nprefill [device H20] < ep 8 > | decode [device h200] < ep 8 >"
    (checked,) = check(Source("p", text)).checked
    assert [device.name for _, device in checked.plan.facts.devices] == ["h20-sxm", "h200-sxm"]
    run = CliRunner().invoke
    assert run(main, ["models", "Qwen3-235B"]).stdout.startswith("qwen3-235b-a22b: ")
    assert run(main, ["models", "zai-org/GLM-4.5"]).stdout.startswith("glm-4.5: ")
    assert run(main, ["devices", "H200"]).stdout.startswith("h200-sxm: ")
    assert "`deepseek-v3.2`" in run(main, ["models", "deepseek"]).stderr
    said = run(main, ["check", "-e", "ep 8", "--cluster", "h200 x 8", "--model", "mixtral-8x7b"]).stdout
    assert "`h200` is h200-sxm" in said


def test_a_name_of_ones_own_may_begin_a_presets() -> None:
    """A block of its own is not taken for the preset that its name begins; one that says little, under most of a
    preset's name, is reported.
    """
    (checked,) = check(Source("p", "model phi { layers 4 }\nep 8")).checked
    assert (checked.plan.facts.model.name, checked.plan.facts.model.source) == ("phi", "given")
    (problem,) = problems("model", "qwen3-235b { layers 4 }")
    assert problem.help[0] == "did you mean `qwen3-235b-a22b`?"
    (checked,) = check(Source("p", "model DeepSeek-V3 { layers 4 }\nep 8")).checked
    assert checked.plan.facts.model.hidden == getattr(load_model("deepseek-v3"), "hidden")  # noqa: B009


@pytest.mark.parametrize("name", ["vllm", "vLLM", "SGLang", "TensorRT-LLM", "trtllm", "Megatron-Core", "MEGATRON"])
def test_engines_are_named_as_their_makers_write_them(name: str) -> None:
    found = check(Source("p", f"model mixtral-8x7b\nengine {name}\nep 8"))
    assert not [diagnostic for diagnostic in found.diagnostics if diagnostic.code.code == "N110"]
