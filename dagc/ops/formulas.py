"""Formulas of computations by the name that calibrations use."""

from __future__ import annotations

from collections.abc import Mapping

from dagc.ops.attention_core import DECODE, PREFILL, SPLIT_DECODE
from dagc.ops.elementwise import STREAMED
from dagc.ops.formula import Formula
from dagc.ops.gemm import GEMM
from dagc.ops.grouped_gemm import GROUPED, GROUPED_DEFAULT, GROUPED_FLOORED, LAYER, LAYER_DEFAULT
from dagc.ops.recurrence import RECURRENT

FORMULAS: Mapping[str, Formula] = {
    formula.name: formula
    for formula in (
        GEMM,
        GROUPED,
        GROUPED_DEFAULT,
        GROUPED_FLOORED,
        LAYER,
        LAYER_DEFAULT,
        PREFILL,
        DECODE,
        SPLIT_DECODE,
        STREAMED,
        RECURRENT,
    )
}

NODE_FORMULAS: Mapping[str, Formula] = {**FORMULAS, LAYER.name: GROUPED, LAYER_DEFAULT.name: GROUPED_DEFAULT}
"""What prices one node: coefficients that were fitted to whole expert layers hold for each of their two products."""

COEFFICIENTS: Mapping[str, frozenset[str]] = {
    name: frozenset(parameter.name for parameter in formula.parameters) for name, formula in NODE_FORMULAS.items()
}
"""Names of the coefficients that each of these takes."""
