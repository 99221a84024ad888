"""Operators: what all of them declare, and that their content tells two with other parameters apart."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest

from dagc import ops
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.part import Part
from dagc.ops.all_reduce import AllReduce
from dagc.ops.attention_core import AttentionCore, KeyValues
from dagc.ops.gemm import Gemm, Matrix, Router
from dagc.ops.groups import Groups
from dagc.ops.load import WIDE
from dagc.ops.op import Op, OpKind, Setting

ONE = np.ones(1)
MATRIX = Matrix(64, 32, Stored(Dtype.FP8), Part.ATTENTION)
GEMM = Gemm(4 * ONE, MATRIX, Dtype.BF16)
CORE = AttentionCore(4 * ONE, 8 * ONE, 16 * ONE, 4 * ONE, 2, 1, 64, 64, Dtype.BF16, KeyValues.HEADS, Dtype.BF16)
SETTING = Setting(DeviceSpec("gpu", 64e9, 2e12, {Dtype.BF16: 400e12}, 0.5, 0.5, "made up"), Dtype.BF16)
GROUPS = Groups(np.array([[0, 1]]), np.array([1]), np.array([2]))


def classes() -> list[type[Op]]:
    """Every class of operators that has a name."""
    for module in iter_modules(ops.__path__, "dagc.ops."):
        import_module(module.name)
    found, left = list[type[Op]](), [Op]
    while left:
        left += (last := left.pop()).__subclasses__()
        if last.__module__.startswith("dagc.ops.") and "name" in vars(last):
            found.append(last)
    return found


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_operators_are_dataclasses_with_a_title(kind: type[Op]) -> None:
    assert fields(kind)
    assert kind.title
    assert not getattr(kind, "__abstractmethods__", None)


def test_equal_parameters_have_equal_content() -> None:
    assert replace(GEMM, rows=np.array([4.0])).content == GEMM.content


@pytest.mark.parametrize(
    "other",
    [
        replace(GEMM, rows=5 * ONE),
        replace(GEMM, rows=np.array([4.0, 4.0])),
        replace(GEMM, matrix=replace(MATRIX, n=32, k=64)),
        replace(GEMM, matrix=replace(MATRIX, stored=Stored(Dtype.FP8, 0.1))),
        replace(GEMM, heads=1),
        Router(GEMM.rows, MATRIX, Dtype.BF16),
        AllReduce((), GROUPS, ONE),
    ],
)
def test_another_parameter_or_class_is_another_content(other: Op) -> None:
    assert other.content != GEMM.content


def test_groups_that_lie_on_other_nodes_are_another_content() -> None:
    elsewhere = Groups(GROUPS.members, np.array([2]), np.array([1]))
    assert AllReduce((), GROUPS, ONE).content != AllReduce((), elsewhere, ONE).content


def test_loads_that_are_too_wide_to_compare_have_no_content() -> None:
    assert replace(GEMM, rows=np.arange(WIDE + 1.0)).content is None


def test_a_scaled_operator_has_so_many_times_the_work() -> None:
    half = CORE.scaled(0.5)
    assert (half.flops[0], half.memory_bytes[0]) == (CORE.flops[0] / 2, CORE.memory_bytes[0] / 2)
    assert half.heads == CORE.heads


def test_the_kind_of_a_product_is_that_of_its_weights() -> None:
    other = replace(GEMM, matrix=replace(MATRIX, part=Part.DENSE_FFN))
    assert (GEMM.kind, other.kind, Router(ONE, MATRIX, Dtype.BF16).kind) == (
        OpKind.ATTENTION, OpKind.OTHER, OpKind.ROUTING,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "key_values", "regime"),
    [
        (4.0, KeyValues.HEADS, "attention/decode"),
        (4.0, KeyValues.EXPANDED, "attention/decode"),
        (4.0, KeyValues.LATENT, "mla/decode"),
        (5.0, KeyValues.HEADS, "attention/prefill"),
        (5.0, KeyValues.EXPANDED, "mla/prefill"),
        (5.0, KeyValues.LATENT, "attention/prefill"),
    ],
)
def test_the_regime_of_a_core_follows_from_queries_and_from_what_keys_are(
    tokens: float, key_values: KeyValues, regime: str
) -> None:
    """Whatever its widths: one key-value head of 512, as Gemma 4 has on eight ranks, is no latent."""
    wide = replace(CORE, tokens=tokens * ONE, key_values=key_values, key=512, value=512)
    assert wide.regimes(SETTING)[0] == regime
