"""Element types and their size."""

from __future__ import annotations

from dataclasses import dataclass
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
    NVFP4 = "nvfp4"
    INT4 = "int4"

    @property
    def bytes(self) -> float:
        """Bytes an element; with the scales that belong to the format: one byte a block of 32 (mxfp4) or 16 (nvfp4)."""
        return _BYTES[self]


_BYTES = {
    Dtype.FP32: 4.0,
    Dtype.BF16: 2.0,
    Dtype.FP16: 2.0,
    Dtype.FP8: 1.0,
    Dtype.INT8: 1.0,
    Dtype.FP4: 0.5,
    Dtype.MXFP4: 0.5 + 1 / 32,
    Dtype.NVFP4: 0.5 + 1 / 16,
    Dtype.INT4: 0.5,
}


@dataclass(frozen=True, slots=True)
class Stored:
    """How weights are stored: their type, and bytes an element for scales that are kept beside them.

    fp8 in blocks of 128 × 128 has one fp32 for each, 4 / 128² bytes an element; int4 in groups of 32 one bf16, 2 / 32.
    """

    dtype: Dtype
    scale_bytes: float = 0.0

    @property
    def bytes(self) -> float:
        """Bytes an element."""
        return self.dtype.bytes + self.scale_bytes
