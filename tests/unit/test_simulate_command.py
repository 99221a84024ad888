"""`dagc simulate`: what it prints, what it refuses, and that the same seed gives the same requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dagc.cli.main import main
from dagc.driver import load, whatif
from dagc.driver.check import check
from dagc.simulate import kernel
from dagc.source import Source

PLAN = "model mixtral-8x7b\ncluster h100-sxm x 8\nworkload {{ {load}    prompt 1024    output 128 }}\n{more}ep 8\n"


def simulated(tmp_path: Path, load: str, *words: str, more: str = "") -> Result:
    plan = tmp_path / "plan.moe"
    plan.write_text(PLAN.format(load=load, more=more), encoding="utf-8")
    return CliRunner().invoke(main, ["simulate", str(plan), *words])


def document(done: Result) -> dict[str, Any]:
    (strategy,) = json.loads(done.stdout)["strategies"]
    return strategy


def test_a_static_batch_has_no_load(tmp_path: Path) -> None:
    done = simulated(tmp_path, "batch 64")
    assert done.exit_code == 1
    assert "error[N170]" in done.output and "rate 20 requests/s" in done.output


def test_little_s_law_holds_of_what_is_printed(tmp_path: Path) -> None:
    """64 requests are in flight at any time: completions a second times the mean end-to-end time."""
    load = document(simulated(tmp_path, "concurrency 64", "--format", "json"))["load"]
    assert load["requests_per_second"] * load["e2e"]["mean_seconds"] == pytest.approx(64, rel=0.02)


def test_a_seed_gives_its_requests(tmp_path: Path) -> None:
    first, again, other = (
        document(simulated(tmp_path, "rate 4 requests/s", "--format", "json", "--requests", "200", "--seed", seed))
        for seed in ("1", "1", "2")
    )
    assert first == again and first["load"]["ttft"] != other["load"]["ttft"]
    assert first["load"]["requests"] == 200


def test_the_highest_load_keeps_the_requirement_and_a_higher_one_misses_it(tmp_path: Path) -> None:
    more = "require { ttft p99 <= 90 ms }\n"
    words = ("--format", "json", "--sweep", "rate", "--requests", "500")
    sweep = document(simulated(tmp_path, "rate 4 requests/s", *words, more=more))["sweep"]
    kept = [point for point in sweep["points"] if point["load"] <= sweep["highest"]]
    missed = [point for point in sweep["points"] if point["load"] > sweep["highest"]]
    assert kept and missed
    assert all(point["met"] and point["ttft_seconds"]["p99"] <= 0.09 for point in kept)
    assert missed[0]["met"] is False and missed[0]["load"] <= 1.03 * sweep["highest"]


@pytest.mark.slow
def test_a_lower_limit_on_goodput_is_missed_by_low_loads(tmp_path: Path) -> None:
    """At a tenth of what saturates the goodput is a tenth, too: not the highest load that keeps the limit."""
    more = "require { ttft p99 <= 90 ms    goodput >= 20 requests/s }"
    words = ("--format", "json", "--sweep", "rate", "--requests", "500")
    sweep = document(simulated(tmp_path, "rate 24 requests/s", *words, more=more))["sweep"]
    met = [point["load"] for point in sweep["points"] if point["met"]]
    assert sweep["highest"] == max(met)
    assert sweep["points"][0]["met"] is False and sweep["points"][0]["load"] < 20 <= min(met)


@pytest.mark.parametrize("over", ["rate", "concurrency"])
@pytest.mark.parametrize("limit", ["ttft p99 <= 1 us", "goodput >= 100000 requests/s"])
def test_where_no_load_keeps_the_limits_there_is_none(tmp_path: Path, over: str, limit: str) -> None:
    words = ("--format", "json", "--sweep", over, "--requests", "200")
    done = simulated(tmp_path, "rate 4 requests/s", *words, more=f"require {{ {limit} }}")
    sweep = document(done)["sweep"]
    assert sweep["highest"] is None
    assert not any(point["met"] for point in sweep["points"])
    assert len(sweep["points"]) < 20


def test_requests_that_arrive_over_months_are_refused(tmp_path: Path) -> None:
    """2,400 of them at 0.0001 requests/s take 278 days, of which a count of picoseconds does not fit into 64 bits."""
    done = simulated(tmp_path, "rate 0.0001 requests/s", "--requests", "2000")
    assert done.exit_code == 2
    assert "X304" in done.stderr and "arrive over" in done.stderr and "state a higher rate" in done.stderr


def test_a_rate_beyond_saturation_misses_every_requirement_on_ttft(tmp_path: Path) -> None:
    words = ("--format", "json", "--requests", "500")
    done = simulated(tmp_path, "rate 1000 requests/s", *words, more="require { ttft p50 <= 1 h }\n")
    found = document(done)
    assert found["load"]["saturation"]["holds"] is False
    assert [one["ok"] for one in found["requirements"]] == [False]


def test_a_strategy_that_the_plan_has_not_is_refused(tmp_path: Path) -> None:
    done = simulated(tmp_path, "rate 4 requests/s", "--strategy", "other")
    assert done.exit_code == 2 and "no strategy `other`" in done.output


def test_requests_that_take_more_memory_than_there_is_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request takes 128 bytes before the run begins: 10,000 and their warm-up of 1,000 at both ends need 1.5 MB."""
    monkeypatch.setattr(load, "default_limit", lambda: 1_000_000)
    done = simulated(tmp_path, "rate 4 requests/s requests 10000")
    assert done.exit_code == 2
    assert "error[X304]: simulating `main` takes 1.5 MB of memory or more; the limit is 1.0 MB" in done.output
    assert "requests 10000" in done.output, "the field that asks for them is shown"


def test_records_of_a_run_that_outgrow_the_memory_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays of the run itself are below this limit, and its records of steps are above it."""
    monkeypatch.setattr(kernel, "default_limit", lambda: 40_000_000)
    done = simulated(tmp_path, "rate 4 requests/s requests 20000", "--requests", "20000")
    assert done.exit_code == 2 and "error[X304]" in done.output


@pytest.mark.slow
def test_changes_of_a_long_load_are_not_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.moe"
    more = "require { ttft p99 <= 1 s }\n"
    plan.write_text(PLAN.format(load="concurrency 4 requests 50", more=more), encoding="utf-8")
    words = ["whatif", str(plan), "--only", "hardware", "--model", "mixtral-8x7b { layers 2 }"]
    assert "L101" not in CliRunner().invoke(main, words).output
    monkeypatch.setattr(whatif, "MOST_STEP_GROUPS", 10)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    assert "warning[L101]: changes of `main` are not simulated" in done.output


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("model mixtral-8x7b\ncluster { gpus 8    device { memory 80 GB } }\n", "device bandwidth, device compute"),
        ("model { layers 80 }\ncluster h100-sxm x 8\n", "model hidden"),
    ],
    ids=["rates", "shapes"],
)
def test_facts_without_which_nothing_is_simulated_are_named(tmp_path: Path, text: str, missing: str) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_text(f"{text}workload {{ rate 4 requests/s    prompt 1024    output 128 }}\ntp 8\n", encoding="utf-8")
    done = CliRunner().invoke(main, ["simulate", str(plan)])
    assert done.exit_code == 1
    assert "error[N171]" in done.output and f"not stated: {missing}" in done.output


def test_a_chunk_has_a_block_at_least(tmp_path: Path) -> None:
    """Of cp 8 a block has 8 times the tokens of a page: SGLang takes whole ones of a first chunk, none of 1 token."""
    plan = tmp_path / "plan.moe"
    load = "concurrency 16    prompt 64    output 8    chunk 1"
    plan.write_text(f"model deepseek-v3\ncluster h200-sxm x 16\nengine sglang\nworkload {{ {load} }}\nep 8 ; cp 8\n")
    done = CliRunner().invoke(main, ["simulate", str(plan), "--requests", "20"])
    assert done.exit_code == 0 and "20 requests" in done.stdout


def test_what_is_wrong_is_said_where_the_document_is_a_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["simulate", "-e", "", "--format", "json", "-o", str(tmp_path / "load.json")])
    assert done.exit_code == 1 and "error[S006]" in done.stderr


def test_one_request_a_second_is_singular(tmp_path: Path) -> None:
    done = simulated(tmp_path, "rate 1 requests/s", "--requests", "10")
    assert "Poisson arrivals, 1 request/s;" in done.stdout


def test_a_request_that_is_too_long_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("arrival,prompt,output\n0,10,1\n\n1,20000000,1\n", encoding="utf-8")
    plan = tmp_path / "plan.moe"
    plan.write_text('model mixtral-8x7b\ncluster h100-sxm x 8\nworkload { trace "day.csv" }\nep 8\n', encoding="utf-8")
    done = CliRunner().invoke(main, ["simulate", str(plan)])
    assert done.exit_code == 1
    assert "error[M103]: `day.csv`, line 4: request 2 does not fit into the KV cache" in done.output


def test_times_with_a_queue_that_grows_are_not_printed(tmp_path: Path) -> None:
    done = simulated(tmp_path, "rate 1000 requests/s", "--requests", "100")
    assert "the queue grows without end: saturates at" in done.stdout
    assert "TPOT" in done.stdout and "TTFT" not in done.stdout and "end to end" not in done.stdout


def test_a_loop_that_is_begun_several_times_says_so(tmp_path: Path) -> None:
    done = simulated(tmp_path, "concurrency 16", "--requests", "100")
    assert "100 requests of 10 runs, each after 32 of warm-up" in done.stdout


def test_a_long_run_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second at each look: of 100 requests 10 end in the second between the first reports."""
    said: list[str] = []
    text = PLAN.format(load="concurrency 4", more="")
    subject = load.StrategyLoad(check(Source("plan.moe", text), sample=None).checked[0].plan, said.append)
    clock = iter(range(100))
    monkeypatch.setattr(load.time, "monotonic", lambda: float(next(clock)))
    report = subject.model.report
    assert report is not None
    for done in (10, 20, 60, 5):
        report(done, 100)
    assert [one.partition(": ")[2] for one in said] == [
        "10 of 100 requests", "20 of 100 requests, about 8 s left", "60 of 100 requests, about 2 s left",
        "5 of 100 requests",
    ]  # fmt: skip
