"""More requests in flight than the caches hold: a warning with the number that run, in every output."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import dagc
from dagc.cli.main import main

MODEL = """model tiny {
    layers 8    hidden 1024    vocab 32000    dtype bf16
    attention { heads 8    kv_heads 4    head_dim 128 }
    experts 8 { top 2    ffn 2048    shared 1 }
}
"""
FLIGHT = 200
BOTH = "strategy main = tp 2\nstrategy other = tp 4\n"


def text(memory: str = "3 GB", load: str = f"concurrency {FLIGHT}", strategies: str = "strategy main = tp 2\n") -> str:
    device = f"device {{ memory {memory}    bandwidth 1 TB/s    compute 100 TFLOP/s }}"
    links = "link 100 GB/s    network 10 GB/s    reserve 0 GB    price 2 USD/h"
    cluster = f"cluster lab {{ gpus 4    node 4    {device}    {links} }}\n"
    return f"{MODEL}{cluster}workload {{ {load}    prompt 4096    output 1024 }}\n{strategies}"


def run(tmp_path: Path, *words: str, plan: str | None = None) -> Result:
    path = tmp_path / "plan.moe"
    path.write_text(plan or text(), encoding="utf-8")
    command, *more = words
    return CliRunner().invoke(main, [command, str(path), *more])


@cache
def running() -> int:
    serving = dagc.compile(text())["main"].summary.serving
    assert serving is not None
    return serving.running


def test_it_is_a_warning_that_states_the_number(tmp_path: Path) -> None:
    found = run(tmp_path, "check")
    assert found.exit_code == 0
    assert 0 < running() < FLIGHT
    assert f"warning[W151]: {running()} of the {FLIGHT} requests in flight run concurrently" in found.output
    assert f"{FLIGHT - running()} queue" in found.output and "M101" not in found.output and "W901" not in found.output


def test_as_many_as_run_are_held_without_a_word(tmp_path: Path) -> None:
    assert "W151" not in run(tmp_path, "check", plan=text(load=f"concurrency {running()}")).output
    assert "W151" in run(tmp_path, "check", plan=text(load=f"concurrency {running() + 1}")).output


def test_a_static_batch_that_does_not_fit_is_an_error_as_ever(tmp_path: Path) -> None:
    found = run(tmp_path, "check", plan=text(load=f"batch {FLIGHT}"))
    assert found.exit_code == 1 and "error[M101]" in found.output and "W151" not in found.output


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    found = run(tmp_path, "check", plan=text(memory="0.2 GB"))
    assert found.exit_code == 1 and "error[M101]" in found.output and "W151" not in found.output
    assert "one request per attention rank" in found.output


def test_figures_are_those_of_the_requests_that_run() -> None:
    whole, part = (dagc.compile(text(load=f"concurrency {number}"))["main"].summary for number in (running(), FLIGHT))
    assert whole.phases and part.phases and whole.throughput and part.throughput
    assert part.phases.decode.seconds == whole.phases.decode.seconds
    assert part.throughput == whole.throughput


@pytest.mark.parametrize(
    "words",
    [
        ("compile",),
        ("memory",),
        ("compare",),
        pytest.param(("search", "--workers", "1"), marks=pytest.mark.slow),
        ("compile", "report.html"),
    ],
)
def test_the_number_is_where_the_figures_are(words: tuple[str, ...], tmp_path: Path) -> None:
    command, *rest = words
    out = ["-o", str(tmp_path / "out")] if command in ("compile", "search") else []
    options = [word for word in rest if word != "report.html"]
    printed = run(
        tmp_path, command, *options, *out, plan=text(strategies=BOTH) if command == "compare" else None
    ).output
    if "report.html" in rest:
        printed = (tmp_path / "out" / "plan" / "main" / "report.html").read_text()
    said = rf"\b{running()} (of {FLIGHT} requests run concurrently|concurrent requests)"
    if command == "search":
        said = "concurrent requests"
    if command == "compare":
        said = rf"concurrent requests[ *]+{running()}\b"
    assert re.search(said, printed), printed


def test_programs_read_the_number(tmp_path: Path) -> None:
    held = json.loads(run(tmp_path, "memory", "--format", "json").stdout)["strategies"][0]["memory"]
    assert held["requests_at_once"] == running() and held["fits"]
    assert 0.99 < held["share"] <= 1
    compared = json.loads(run(tmp_path, "compare", "--format", "json", plan=text(strategies=BOTH)).stdout)
    values = {one["name"]: one["values"][0]["value"] for one in compared["figures"]}
    assert values["requests_at_once"] == running() and compared["plans"][0]["fits"]


def test_a_notebook_says_it() -> None:
    assert f"{running()} concurrent requests, the others queue" in dagc.compile(text())._repr_html_()


@pytest.mark.slow
def test_a_search_has_them_as_candidates(tmp_path: Path) -> None:
    """On devices that hold all the weights, nothing is too large, however many are in flight; bounds lose nothing."""
    words = ("search", "--gpus", "2", "--workers", "1", "--format", "json")
    found, whole = (json.loads(run(tmp_path, *words, *more).stdout) for more in ((), ("--exhaustive",)))
    assert found["counts"]["too_large"] == found["counts"]["weights_too_large"] == 0
    assert found["front"] == whole["front"]
    at_once = [one["figures"]["requests_at_once"] for one in found["front"]]
    assert all(0 < number < FLIGHT for number in at_once)
    assert found["given"][0]["status"] in ("front", "behind")


def test_a_search_drops_what_holds_not_even_one(tmp_path: Path) -> None:
    """A layer has 3.1 M parameters of attention and 9 × 6.3 M of experts: 8 of them, and twice 32,000 × 1,024, are
    1.09 GB, which 1.12 GB hold; the cache of a request, 5,120 × 16 KiB, is 84 MB.
    """
    counts = json.loads(
        run(tmp_path, "search", "--gpus", "1", "--workers", "1", "--format", "json", plan=text(memory="1.12 GB")).stdout
    )["counts"]
    assert counts["weights_too_large"] + counts["too_large"] == counts["generated"] - sum(counts["refused"].values())


@pytest.mark.parametrize(("budget", "running"), [(8192, 8), (8200, 72), (8222, 248), (8223, 256)])
def test_a_prompt_that_steps_have_no_room_for_waits_until_others_end(budget: int, running: int) -> None:
    """On each of 8 ranks 8,192 tokens of a prompt, and at a budget of 8,200 those of 8 decoded sequences: 9 requests.
    256 in flight are 32 on each, so that 8,192 + 31 have room for all. TPOT is that of the simulation within 4 %.
    """
    engine = f"engine trtllm {{ max_num_tokens {budget} }}"
    workload = "workload { concurrency 256    prompt 8192    output 1024 }"
    model = "model deepseek-v3 { dtype fp8    expert_dtype nvfp4    kv_dtype fp8 }"
    found = dagc.compile(f"{model}\ncluster b200-sxm x 8\n{engine}\n{workload}\nmoe < tp 8 > ; dp 8\n")["main"]
    serving, load = found.summary.serving, found.summary.load
    assert serving is not None and serving.running == running
    assert load is not None and load.tpot is not None and found.tpot is not None
    assert found.tpot == pytest.approx(load.tpot.mean_seconds, rel=0.04)
    said = [one for one in found.diagnostics if one.code.code == "W151"]
    assert len(said) == (running < 256)
    for one in said:
        assert f"{running} of the 256 requests in flight run concurrently" in one.message
        assert "`max_num_tokens 8223` or `enable_chunked_prefill yes`" in one.help[0]
