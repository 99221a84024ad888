"""W154: what TPOT is where outputs vary. The other figure is that of simulated requests of such lengths."""

from __future__ import annotations

import pytest

from dagc.driver.check import check
from dagc.driver.outcome import Checked
from dagc.plan.workload import LoadSample
from dagc.source import Source

PLAN = """model deepseek-v3
cluster h200-sxm x 8
engine {engine}
workload {{ {load} }}
strategy main = {strategy}
"""
WAVES = "concurrency 64    prompt 2048    output 256"


def checked(load: str, strategy: str = "ep 8", sample: LoadSample | None = None, engine: str = "sglang") -> Checked:
    text = PLAN.format(load=load, strategy=strategy, engine=engine)
    return check(Source("plan.moe", text), sample=sample).checked[0]


def messages(load: str, strategy: str = "ep 8") -> list[str]:
    return [one.message for one in checked(load, strategy).diagnostics if one.code.code == "W154"]


def test_the_other_figure_is_that_of_simulated_requests() -> None:
    """An eighth of 256 is 32. All eight ranks wait for the prompts of one, so that waves save a good part."""
    priced = checked(WAVES).priced
    run = checked("concurrency 64    prompt 2048    output 224 to 288", sample=LoadSample()).priced
    varied, load = priced.assessment.varied_tpot, run.assessment.load
    assert (
        varied is not None
        and load is not None
        and load.tpot.mean_seconds is not None
        and priced.assessment.metrics is not None
    )
    assert varied == pytest.approx(load.tpot.mean_seconds, rel=0.06)
    assert varied > 1.2 * priced.assessment.metrics.decode.seconds
    (message,) = messages(WAVES)
    assert message.endswith("where they vary by 12.5 %") and "all outputs have 256 tokens" in message


@pytest.mark.parametrize(
    ("load", "strategy"),
    [
        pytest.param("concurrency 64    prompt 2048    output 224 to 288", "ep 8", id="outputs vary"),
        pytest.param("rate 4 requests/s    prompt 2048    output 256", "ep 8", id="an open loop"),
        pytest.param("batch 64    prompt 2048    output 256", "ep 8", id="a static batch"),
        pytest.param("concurrency 64    prompt 2048    output 4", "ep 8", id="too short to vary"),
        pytest.param("concurrency 64    prompt 2048    output 1024", "tp 8", id="one queue, few prompts"),
    ],
)
def test_nothing_is_said_where_lengths_make_no_difference(load: str, strategy: str) -> None:
    assert not messages(load, strategy)


def test_nothing_is_said_of_an_engine_that_mixes() -> None:
    assert checked(WAVES, engine="vllm").priced.assessment.varied_tpot is None
