"""Element types and their size."""

from __future__ import annotations

from enum import StrEnum


class Dtype(StrEnum):
    """An element type of weights, activations or cache."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    FP4 = "fp4"
    MXFP4 = "mxfp4"

    @property
    def bytes(self) -> float:
        """Bytes an element, scales of blocks included (mxfp4: one byte a block of 32)."""
        return _BYTES[self]


_BYTES = {
    Dtype.FP32: 4.0,
    Dtype.BF16: 2.0,
    Dtype.FP16: 2.0,
    Dtype.FP8: 1.0,
    Dtype.INT8: 1.0,
    Dtype.FP4: 0.5,
    Dtype.MXFP4: 0.5 + 1 / 32,
}
