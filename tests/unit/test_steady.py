"""An open loop in its steady state: requests in flight by Little's law."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.driver.check import check
from dagc.plan.workload import AS_PLANNED, LoadSample
from dagc.results.summary import Serving
from dagc.source import Source

PLAN = "model mixtral-8x7b\ncluster h100-sxm x 8\nworkload {{ {load}    prompt 1024    output {output} }}\nep 8\n"


def served(load: str, output: str = "200", sample: LoadSample | None = None) -> tuple[Serving, float, list[str]]:
    """Serving, TTFT of an idle server, and codes."""
    found = check(Source("plan", PLAN.format(load=load, output=output)), sample=sample)
    metrics = found.checked[0].priced.assessment.metrics
    assert metrics is not None
    return metrics.serving, metrics.prefill.seconds, [one.code.code for one in found.diagnostics]


@pytest.mark.parametrize("rate", [0.5, 5, 12])
def test_as_many_are_in_flight_as_arrive_while_one_is_served(rate: float) -> None:
    """The least number n with n >= rate * S(n); S(n) from the same plan with n in flight in a closed loop.

    Its requests differ, because those of an open loop do not come in waves.
    """

    def needed(held: int) -> float:
        serving, ttft, _ = served(f"concurrency {held}", "199 to 201")
        return rate * (ttft + 199 * serving.tpot_seconds)

    serving, _, codes = served(f"rate {rate} requests/s")
    held = serving.running
    assert serving.concurrency == held and not codes
    assert ceil(needed(held)) <= held
    assert held == 1 or needed(held - 1) > held - 1


@pytest.mark.slow
def test_a_rate_beyond_capacity_fills_the_caches_and_is_a_warning() -> None:
    serving, _, codes = served("rate 10000 requests/s", sample=AS_PLANNED)
    full, _, _ = served("concurrency 100000")
    assert serving.running == full.running > 1000
    assert "W150" in codes and "W151" not in codes


@pytest.mark.slow
def test_every_output_of_an_open_loop_is_written(tmp_path: Path) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_text(PLAN.format(load="rate 2 requests/s", output=200).replace("1024", "900 to 1100"), encoding="utf-8")
    other = tmp_path / "other.moe"
    other.write_text(PLAN.format(load="rate 3 requests/s", output=200), encoding="utf-8")
    for command in (["compile"], ["whatif", "--format", "json"], ["compare", str(other)], ["memory"]):
        done = CliRunner().invoke(main, [*command, str(plan), *["-o", str(tmp_path)] * (command == ["compile"])])
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        assert done.exit_code == 0, done.output
    pictures = "".join(path.read_text("utf-8") for path in tmp_path.rglob("*.svg"))
    assert "open loop" in pictures and "1,000,000" not in pictures and "1000000" not in pictures


def test_one_request_a_second_is_singular() -> None:
    text = (
        "model llama-3.1-70b\ncluster h100-sxm x 8\nengine vllm\n"
        "workload { rate 1 requests/s    prompt 100000    output 8 }\nstrategy s = tp 8\n"
    )
    said = [one.message for one in check(Source("plan.moe", text)).diagnostics if one.code.code == "W150"]
    assert said == ["1 request/s exceeds the capacity of the deployment"]
