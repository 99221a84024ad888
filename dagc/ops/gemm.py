"""Matrix products: a GEMM, and the choice of experts that is one.

`products` products of m x k times k x n are cut into tiles of a x b outputs, one a multiprocessor at a time:

    tiles = products · ceil(m/a) · ceil(n/b)          waves = tiles / processors, a partial one counted by `wave`
    arithmetic = waves · processors · 2·a·b·(k + fill) / (peak share · peak · intensity)
    intensity = 1 / (1 + tile · 64 · (1/a + 1/b))      small tiles load more operands for each product

of the shape of tile that is fastest, as libraries choose it. `fill` is the depth that starting and ending a tile costs.
Memory is `bytes` (weights, inputs, outputs, once each) at the reached bandwidth. `cast` is for inputs that are brought
to a narrower type before the product: HBM bytes for each element of the input, a pass of its own. Its kernels are not
launched by themselves, but on B200: engines fuse them with what is before, so that the launch of a product in a
narrow type is that of one in bf16. Tables of single operators that are timed with their cast have 1 to 12 us more.

A product takes no longer than with its weights in a wider type of the device: kernels that expand narrow weights as
they read them (Frantar et al., "MARLIN", 2024; vLLM and SGLang have some for fp8, int8 and fp4, dense and grouped)
read less than that, and cast no inputs. It bounds what casts and launches of a type's own kernel cost where there is
little to compute, and tables of that kernel may be above it.

Tile and wave quantisation: NVIDIA, "Matrix multiplication background user's guide" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce

import numpy as np

from dagc.catalog.calibration import Work
from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.part import Part
from dagc.ops.formula import (
    LAUNCH,
    PEAK,
    POWER,
    STREAM,
    WAVE,
    Coefficient,
    Coefficients,
    Formula,
    Inputs,
    Machine,
    Terms,
    Values,
)
from dagc.ops.lazy import lazy
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.op import Category, Computation, OpKind, Setting, Sizes, kind_of_part

Tiles = tuple[tuple[int, int], ...]

LIBRARY: Tiles = ((128, 256), (128, 128), (64, 128), (64, 64))
"""Tiles of the libraries' products."""

_MANY = 4096
"""Figures above which shapes of tiles are tried one by one: together they would not fit a processor's cache."""

FILL = Coefficient("fill", 100.0, 0.0, 1500.0, "depth in elements that starting and ending a tile costs")
TILE = Coefficient("tile", 0.3, 0.0, 4.0, "loss of arithmetic in small tiles")
CAST = Coefficient("cast", 2.0, 0.0, 12.0, "HBM bytes for each input element that is cast before the product")


def product_terms(tiles: Tiles, c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: m rows of each product, n, k, products, bytes of all; where the formula casts, `cast` elements a row.

    Where rows of products vary by chance, `spread` is their variance as a multiple of their mean.

    m has the shape that all of them broadcast to.
    """
    memory = machine.bytes_per_second * c["memory"]
    return Terms(
        launch=c["launch"],
        compute=_arithmetic(tiles, c, x, machine),
        memory=x["bytes"] / memory,
        power=c["power"],
        serial=c["cast"] * (x["m"] * x["cast"]) / memory if "cast" in c else 0.0,
    )


def _arithmetic(tiles: Tiles, c: Coefficients, x: Inputs, machine: Machine) -> Values:
    together = [tiles] if x["m"].size <= _MANY else [(one,) for one in tiles]
    fastest: Values = reduce(np.minimum, (one for some in together for one in _outputs(some, c, x, machine)))
    depth = 2.0 * machine.processors * (x["k"] + c["fill"]) / (machine.flops_per_second * c["peak"])
    return fastest * depth


def _outputs(tiles: Tiles, c: Coefficients, x: Inputs, machine: Machine) -> Values:
    """Outputs that the waves of each shape of tile are worth."""
    high, wide, loss = _tiled(tiles, c["tile"], x["m"].ndim)
    waves: Values = x["m"] / high
    if "spread" in x:
        waves = _expected_tiles(waves, np.sqrt(x["spread"] * x["m"]) / high)
    else:
        np.ceil(waves, out=waves)
    waves *= x["products"]
    waves *= np.ceil(x["n"] / wide)
    waves /= machine.processors
    # Whole waves are often off by the last bits of the expected tiles, and begin no further one by that.
    partial_waves = np.ceil(waves * (1 - 1e-6))
    partial_waves -= waves
    partial_waves *= c["wave"]
    waves += partial_waves
    waves *= loss
    return waves


def _expected_tiles(heights: Values, deviation: Values) -> Values:
    """Expected tiles of a product whose rows vary by chance, at least one; mean and deviation are in tiles' heights.

    The mean of the rounded-up height over a uniform distribution of this deviation, no wider than one tile, from where
    on it is the mean height and a half.
    """
    width = np.clip(np.sqrt(12.0) * deviation, 1e-6, 1.0)
    upper, lower = _tiles_below(heights + width / 2), _tiles_below(heights - width / 2)
    return (upper - lower) / width


def _tiles_below(heights: Values) -> Values:
    """The integral of max(1, ceil(x)) from 0 to here."""
    whole = np.maximum(np.floor(heights), 0.0)
    return whole * (whole + 1) / 2 + (whole + 1) * (heights - whole)


@lru_cache(maxsize=256)
def _tiled(tiles: Tiles, tile: float, dimensions: int) -> tuple[Values, Values, Values]:
    """Height and width of each shape of tile, and outputs that its time is worth; they broadcast to `dimensions`."""
    sides = np.array(tiles, dtype=np.float64).reshape(len(tiles), 2, *(1,) * dimensions)
    high, wide = sides[:, 0], sides[:, 1]
    return high, wide, (1.0 + tile * 64.0 * (1.0 / high + 1.0 / wide)) * high * wide


PRODUCT = (PEAK, WAVE, FILL, TILE, STREAM, LAUNCH, POWER)
"""Coefficients of every formula of products."""

GEMM = Formula("gemm", (*PRODUCT, CAST), ("m", "n", "k"), partial(product_terms, LIBRARY))


@dataclass(frozen=True, slots=True)
class Matrix:
    """The part of a weight matrix that one rank holds: `k` inputs, `n` outputs, of a part of the model."""

    n: int
    k: int
    stored: Stored
    part: Part

    @property
    def elements(self) -> int:
        """Elements of the part."""
        return self.n * self.k


@dataclass(frozen=True, eq=False)
class Gemm(Computation):
    """A product of `rows` x k times k x n; weights, inputs and outputs cross the memory once.

    With `heads` > 0 it is as many products, each of all rows with a matrix of its own.
    """

    rows: Load
    matrix: Matrix
    activation: Dtype
    heads: int = 0

    name = "gemm"
    work = Work.GEMM
    title = "matrix product"
    keeps = "tsh"

    @property
    def kind(self) -> OpKind:
        """That of its weights' part of the model, unless it has one of its own."""
        return kind_of_part(self.matrix.part) if self.family is OpKind.OTHER else self.family

    @property
    def dtype(self) -> Dtype:
        """The type of the weights."""
        return self.matrix.stored.dtype

    @property
    def products(self) -> int:
        """How many there are."""
        return self.heads or 1

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """m, n, k, and heads where each has a product of its own."""
        heads = (("heads", self.heads),) if self.heads else ()
        return (("m", max_rank(self.rows)), ("n", self.matrix.n), ("k", self.matrix.k), *heads)

    @lazy
    def flops(self) -> Load:
        """2 m n k of each product."""
        return compress_uniform(2.0 * self.rows * self.products * self.matrix.n * self.matrix.k)

    @lazy
    def memory_bytes(self) -> Load:
        """Weights, inputs and outputs."""
        matrix, products = self.matrix, self.products
        weights = products * matrix.elements * matrix.stored.bytes
        return compress_uniform(weights + self.rows * products * (matrix.n + matrix.k) * self.activation.bytes)

    def regimes(self, setting: Setting) -> tuple[str, ...]:
        """By type of the weights."""
        return type_regimes("gemm", self.matrix.stored, self.dtype in setting.device.flops)

    def sizes(self, setting: Setting) -> Sizes:
        """Inputs are cast to a type of at most a byte that the device computes in."""
        n, k, products = float(self.matrix.n), float(self.matrix.k), float(self.products)
        casts = self.dtype.bytes <= 1 and self.dtype in setting.device.flops
        return (("n", n), ("k", k), ("products", products), ("cast", products * k if casts else 0.0))

    @lazy
    def inputs(self) -> dict[str, Load]:
        """Rows."""
        return {"m": compress_uniform(self.rows)}

    def wider(self, setting: Setting) -> tuple[Computation, ...]:
        """With weights in each wider type."""
        matrices = (replace(self.matrix, stored=stored) for stored in wider_types(self.dtype, setting))
        return tuple([replace(self, matrix=matrix) for matrix in matrices])


@dataclass(frozen=True, eq=False)
class Router(Gemm):
    """Scores of all experts, and the choice among them, which takes no time of its own."""

    name = "router"
    title = "choice of experts"
    category = Category.ROUTING
    keeps = "t"
    family = OpKind.ROUTING


_BLOCKS = Stored(Dtype.FP8, Dtype.FP32.bytes / 128**2)
"""fp8 with a scale for each block of 128 x 128."""


def wider_types(dtype: Dtype, setting: Setting) -> tuple[Stored, ...]:
    """Wider types than one that the device computes in, as weights may be stored instead."""
    if dtype.bytes > 1 or dtype not in setting.device.flops:
        return ()
    through_fp8 = dtype.bytes < 1 and Dtype.FP8 in setting.device.flops
    return (*((Stored(Dtype.FP8), _BLOCKS) if through_fp8 else ()), Stored(setting.activation))


@lru_cache(maxsize=64)
def type_regimes(family: str, stored: Stored, has_peak: bool) -> tuple[str, ...]:
    """Regimes of products with weights of a type, the nearest first; `has_peak`: the device has a peak for the type.

    Weights of a type without one are computed in the type of activations.
    """
    return tuple([f"{family}/{label}" for label in _labels(stored, has_peak)])


def _labels(stored: Stored, has_peak: bool) -> tuple[str, ...]:
    if not has_peak:
        return ("int4", "bf16") if stored.dtype.bytes <= 1 else ("bf16",)
    match stored.dtype:
        case Dtype.FP8:
            return ("fp8_block", "fp8", "bf16") if stored.scale_bytes else ("fp8", "fp8_block", "bf16")
        case Dtype.FP4 | Dtype.MXFP4 | Dtype.NVFP4:
            return ("fp4", "fp8_block", "bf16")
        case Dtype.INT8:
            return ("int8", "fp8", "bf16")
        case _:
            return ("bf16",)
