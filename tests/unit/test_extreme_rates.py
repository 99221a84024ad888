"""Rates, sizes and coefficients beyond any device: a diagnostic, or figures; never a warning of arithmetic.

The tests run with every warning as an error, those of numpy among them.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.catalog import calibration
from dagc.cli.fit import fit
from dagc.driver.check import check
from dagc.driver.compile import export
from dagc.source import Source

RATES = {"bandwidth": "1.8 TB/s", "compute": "400 TFLOP/s", "link": "450 GB/s", "network": "50 GB/s"}
EXTREMES = ("1", "1e12 P")
"""The least and nearly the largest that the language takes, before the unit."""


def codes(rates: dict[str, str], memory: str = "64 GB") -> list[str]:
    """The errors of a plan on a device of these rates, all files made."""
    text = f"""model mixtral-8x7b {{ layers 2 }}
cluster lab {{
    gpus 16    node 8
    device {{ memory {memory}    bandwidth {rates["bandwidth"]}    compute {{ bf16 {rates["compute"]} }} }}
    link {rates["link"]}    network {rates["network"]}
}}
workload {{ batch 16    prompt 64    output 4 }}
strategy main = pp 2 < tp 2 > | ep 4
"""
    found = check(Source("plan.moe", text))
    for checked in found.checked:
        for content in export(checked).files.values():
            _ = content if isinstance(content, bytes) else b"".join(content)
    return [one.code.code for one in found.diagnostics if one.is_error]


def _extreme(name: str, value: str) -> str:
    unit = "FLOP/s" if name == "compute" else "B/s"
    return f"{value}{unit}" if value.endswith("P") else f"{value} {unit}"


@pytest.mark.parametrize("pair", [("bandwidth", "network"), pytest.param(None, marks=pytest.mark.slow)])
def test_every_rate_may_be_extreme(pair: tuple[str, str] | None) -> None:
    """A byte or an operation a second takes ages for a layer of gigabytes; 10^27 of them take no time."""
    for one, other in [pair] if pair else combinations(RATES, 2):
        for first, second in (EXTREMES, EXTREMES[::-1]):
            rates = {**RATES, one: _extreme(one, first), other: _extreme(other, second)}
            assert set(codes(rates)) <= {"D108"}, (one, first, other, second)


def test_a_memory_past_what_json_can_hold_is_no_memory() -> None:
    assert codes(RATES, "999999999999 PB") == ["N114"]
    assert codes(RATES, "1 PB") == []


@pytest.mark.parametrize("value", [1e300, 1e-300, 1e308, float("inf"), float("nan")])
def test_a_coefficient_beyond_any_device_is_refused(value: float, tmp_path: Path) -> None:
    """1e-300 is no share and no exponent; 1e300 is no coefficient at all."""
    path = Path(calibration.__file__).parent / "calibrations" / "h100-sxm.json"
    written = json.loads(path.read_text("utf-8"))
    for regime, coefficient in (
        ("attention/prefill", "power"),
        ("elementwise", "memory"),
        ("attention/decode", "power"),
    ):
        changed = json.loads(json.dumps(written))
        changed["regimes"][regime]["coefficients"][coefficient] = value
        (tmp_path / "own.json").write_text(json.dumps(changed), "utf-8")
        text = """model mixtral-8x7b { layers 2 }
cluster h100-sxm x 8 { device { calibration "own.json" } }
strategy main = ep 8
"""
        found = check(Source("plan.moe", text), directory=tmp_path).diagnostics
        assert [one.code.code for one in found if one.is_error] == ["N160"]


@pytest.mark.parametrize("row", ["1e300,0.5", "1e6,1e-300", "1e6,1e300", "1e-300,1e-3"])
def test_a_measurement_beyond_any_device_is_no_measurement(row: str, tmp_path: Path) -> None:
    rows = [f"elementwise,{count}e6,{count}e-5" for count in range(1, 9)]
    (tmp_path / "table.csv").write_text(
        "\n".join(["operator,bytes,seconds", *rows, f"elementwise,{row}"]) + "\n", "utf-8"
    )
    done = CliRunner().invoke(fit, [str(tmp_path / "table.csv"), "--device", "h100-sxm"])
    assert done.exit_code != 0
    assert "is not a positive number from 1e-12 to 1e+15" in done.stderr
