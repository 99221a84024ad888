"""Calibrations: the range of a fit, and the first regime that there is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dagc.catalog.calibration import Calibration, read_calibration

TEXT = b"""{"device": "lab", "regimes": {"gemm/bf16": {
    "formula": "gemm", "coefficients": {"peak": 0.8}, "fitted": {"m": [1, 4096]},
    "residuals": {"median": 0.05, "p90": 0.2, "bias": -0.01, "rows": 12}, "source": "made up"}}}"""


def lab() -> Calibration:
    return read_calibration(TEXT)


def test_a_value_past_the_range_of_the_fit_is_named() -> None:
    """Fitted were values of m from 1 to 4,096, and none of n."""
    regime = lab().regimes["gemm/bf16"]
    assert regime.outside({"m": 4096, "n": 1e9}) == ()
    assert regime.outside({"m": 4097, "n": 1}) == ("m",)
    assert regime.outside({"m": 0.5}) == ("m",)


def test_the_first_regime_that_there_is() -> None:
    calibration = lab()
    assert calibration.regime("gemm/fp8", "gemm/bf16") is calibration.regimes["gemm/bf16"]
    assert calibration.regime("gemm/fp8") is None


def test_another_content_is_refused() -> None:
    with pytest.raises(ValidationError):
        read_calibration(TEXT.replace(b'"median": 0.05', b'"median": "small"'))
