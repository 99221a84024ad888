"""Products of the held experts of a layer with the tokens that each gets, as one kernel.

They are `products` products as in `dagc.ops.gemm` whose rows are the mean of those experts that are hit, of tiles that
are chosen for the shape. Tokens choose by chance, so that experts have as many tiles as are expected of rows that vary
(tables that a fit takes have equal ones): one more token does not begin another tile of every expert.

Where inputs are cast to a narrower type, each element is read in two bytes and written in one, a pass of its own at the
share of the bandwidth that what lies between the products reaches (1 / `traffic`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

import numpy as np

from dagc.catalog.calibration import Work
from dagc.catalog.dtype import Dtype
from dagc.ops.formula import Coefficient, Coefficients, Formula, Inputs, Machine, Terms, Values
from dagc.ops.gemm import PRODUCT, Matrix, Tiles, product_terms, type_regimes, wider_types
from dagc.ops.lazy import lazy
from dagc.ops.load import NOTHING, Load, compress_uniform, max_rank
from dagc.ops.op import Computation, OpKind, Setting, Sizes

TUNED: Tiles = ((128, 256), (128, 128), (64, 128), (32, 128), (16, 128))
"""Tiles of grouped products that are chosen for the shape."""

DEFAULT: Tiles = ((64, 64), (16, 32))
"""Tiles of vLLM's and SGLang's Triton kernel where no configuration for shape and device is shipped."""

TRAFFIC = Coefficient(
    "traffic", 1.5, 0.2, 12.0, "traffic of activation, permutation and sum, to the least there can be"
)


def layer_terms(tiles: Tiles, c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """A whole expert layer as engines time it: up with its gate, activation, down, weighted sum.

    Inputs: tokens, top, n model width, k inner width on the rank, rows that the rank's experts get, products that are
    experts hit, weight and value bytes an element, cast 1 where inputs are cast. Buffers hold all tokens · top pairs,
    as in fused kernels that skip the pairs of other ranks.
    """
    m = x["rows"] / x["products"]
    up = _half(x, m, 2 * x["k"], x["n"])
    down = _half(x, m, x["n"], x["k"])
    first, second = product_terms(tiles, c, up, machine), product_terms(tiles, c, down, machine)
    pairs = x["tokens"] * x["top"]
    moved = 2 * (pairs * (3 * x["k"] + x["n"]) + x["tokens"] * x["n"])
    moved = moved + x["cast"] * (3 * x["tokens"] * x["n"] + 3 * pairs * x["k"])
    between = c["traffic"] * moved / machine.bytes_per_second
    power = c["power"]
    return Terms(2 * c["launch"], first.compute + second.compute, first.memory + second.memory, power, between)


def _half(x: Inputs, m: Values, n: Values, k: Values) -> Inputs:
    moved = x["weight_bytes"] * x["products"] * n * k + x["rows"] * (x["value_bytes"] * k + 2 * n)
    return {"m": m, "n": n, "k": k, "products": x["products"], "bytes": moved}


FLOOR = Coefficient("floor", 4e-4, 0.0, 2e-3, "seconds in which the host launches the kernels of a product, one by one")


CAST_BYTES = 3.0
"""HBM bytes of a cast for each element."""

TYPICAL_TRAFFIC = 2.46
"""Where products were measured alone: the median of whole layers on H100, 1 / `experts/stream`."""


def _with_cast(tiles: Tiles, c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """A product of held experts, and the cast of its inputs: `cast` elements in all."""
    serial = CAST_BYTES * x["cast"] * c.get("traffic", TYPICAL_TRAFFIC) / machine.bytes_per_second
    return replace(product_terms(tiles, c, x, machine), serial=serial)


def _floored(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """A product that is not over before its host has launched all that belongs to it."""
    terms = _with_cast(TUNED, c, x, machine)
    return replace(terms, serial=terms.serial + np.maximum(0.0, c["floor"] - terms.seconds))


_RANGED = ("m", "n", "k", "products")
_LAYER = ("tokens", "n", "k", "products")

GROUPED = Formula("grouped_gemm", PRODUCT, _RANGED, partial(_with_cast, TUNED))
GROUPED_FLOORED = Formula("grouped_gemm_floored", (*PRODUCT, FLOOR), _RANGED, _floored)
GROUPED_DEFAULT = Formula("grouped_gemm_default", PRODUCT, _RANGED, partial(_with_cast, DEFAULT))
LAYER = Formula("expert_layer", (*PRODUCT, TRAFFIC), _LAYER, partial(layer_terms, TUNED))
LAYER_DEFAULT = Formula("expert_layer_default", (*PRODUCT, TRAFFIC), _LAYER, partial(layer_terms, DEFAULT))


class RowLayout(StrEnum):
    """How the rows of experts lie in memory, as DeepGEMM names it."""

    MASKED = "masked"
    CONTIGUOUS = "contiguous"


@dataclass(frozen=True, eq=False)
class GroupedGemm(Computation):
    """A product of each held expert with its tokens: `rows` in all by rank, `hit` experts expected to get any.

    A rank holds up to `held` of the layer's `count` experts. The weights of those that are hit are read once each.
    `layout` is how rows lie that a dispatch brought: each expert's in a buffer of its own, of which a part is `masked`,
    or one after the other, `contiguous`, which the host has to know beforehand. None where they do not come so.
    `fullest_rows` and `fullest_hit` are those of the fullest rank of the group, and what it takes follows from them.
    `cast` are elements of the inputs that are brought to a narrower type before a product in it. `shared` of the
    experts that are hit are not routed to, and have weights of `shared_bytes` an element.
    """

    rows: Load
    hit: Load
    matrix: Matrix
    activation: Dtype
    held: int
    count: int
    fullest_rows: Load
    fullest_hit: Load
    layout: RowLayout | None = None
    cast: Load = field(default_factory=NOTHING.copy)
    shared: float = 0.0
    shared_bytes: float = 0.0

    name = "grouped_gemm"
    work = Work.EXPERTS
    title = "matrix product of each held expert"
    family = OpKind.EXPERTS

    @property
    def dtype(self) -> Dtype:
        """The type of the weights."""
        return self.matrix.stored.dtype

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """M rows in all, n, k, experts that are hit, held and there, and whether their weights have scales."""
        matrix = self.matrix
        sides = (("m", max_rank(self.rows)), ("n", matrix.n), ("k", matrix.k))
        experts = (("experts", max_rank(self.hit)), ("held", self.held), ("all", self.count))
        return (*sides, *experts, *((("scaled", 1),) if matrix.stored.scale_bytes else ()))

    @property
    def busiest(self) -> GroupedGemm:
        """The products of the fullest rank of each group, on every rank."""
        return replace(self, rows=self.fullest_rows, hit=self.fullest_hit)

    @lazy
    def flops(self) -> Load:
        """2 m n k."""
        return compress_uniform(2.0 * self.rows * self.matrix.n * self.matrix.k)

    @lazy
    def memory_bytes(self) -> Load:
        """Weights of the experts that are hit, inputs and outputs."""
        matrix = self.matrix
        held = self.hit * matrix.stored.bytes + self.shared * (self.shared_bytes - matrix.stored.bytes)
        weights = held * matrix.n * matrix.k
        return compress_uniform(weights + self.rows * (matrix.n + matrix.k) * self.activation.bytes)

    def regimes(self, setting: Setting) -> tuple[str, ...]:
        """The tuned kernel; one that is not tuned for a part of the experts takes small tiles there (`/default`).

        Rows of a dispatch have kernels of their own (`/masked`, `/contiguous`), which were measured in fp8.
        """
        has_peak = self.dtype in setting.device.flops
        names = type_regimes("grouped_gemm", self.matrix.stored, has_peak)
        return self._of_rows(names, setting) if has_peak else names

    def _of_rows(self, names: tuple[str, ...], setting: Setting) -> tuple[str, ...]:
        """Regimes of types, each after those of the rows that the kernel gets."""
        if self.layout is not None:
            return (f"{names[0]}/{self.layout}", f"grouped_gemm/fp8_block/{self.layout}", *names)
        if self.held < self.count and not setting.tunes_expert_shards:
            return (f"{names[0]}/default", *names)
        return names

    def sizes(self, setting: Setting) -> Sizes:
        """Sides of the matrices; rows of an expert vary as those of independent choices do."""
        return (("n", float(self.matrix.n)), ("k", float(self.matrix.k)), ("spread", 1.0 - 1.0 / max(self.count, 1)))

    @lazy
    def inputs(self) -> dict[str, Load]:
        """Products, the mean rows of each, and elements that are cast."""
        products = np.maximum(self.hit, 1e-9)
        rows = compress_uniform(self.rows / products)
        return {"m": rows, "products": compress_uniform(products), "cast": compress_uniform(self.cast)}

    def wider(self, setting: Setting) -> tuple[Computation, ...]:
        """With weights in each wider type; inputs are cast for those of a byte alone."""
        found: list[Computation] = []
        for stored in wider_types(self.dtype, setting):
            cast = self.cast if stored.dtype is Dtype.FP8 else NOTHING
            found.append(replace(self, matrix=replace(self.matrix, stored=stored), cast=cast))
        return tuple(found)
