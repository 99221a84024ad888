"""Matrix products, one or many at once.

`products` products of m x k times k x n are cut into tiles of a x b outputs, one a multiprocessor at a time:

    tiles = products · ceil(m/a) · ceil(n/b)          waves = tiles / processors, a partial one counted by `wave`
    arithmetic = waves · processors · 2·a·b·(k + fill) / (peak share · peak · intensity)
    intensity = 1 / (1 + tile · 64 · (1/a + 1/b))      small tiles load more operands for each product

of the shape of tile that is fastest, as libraries choose it. `fill` is the depth that starting and ending a tile costs.
Memory is `bytes` (weights, inputs, outputs, once each) at the reached bandwidth. `cast` is for inputs that are brought
to a narrower type before the product: HBM bytes for each element of the input, a pass of its own.

Tile and wave quantisation: NVIDIA, "Matrix multiplication background user's guide" (2023). The experts of a layer are
`products` products whose rows are the mean of those experts that are hit.
"""

from __future__ import annotations

from functools import lru_cache, partial, reduce

import numpy as np

from dagc.cost.formula import (
    LAUNCH,
    PEAK,
    POWER,
    STREAM,
    WAVE,
    Coefficients,
    Formula,
    Inputs,
    Machine,
    Parameter,
    Terms,
    Values,
)

Tiles = tuple[tuple[int, int], ...]

LIBRARY: Tiles = ((128, 256), (128, 128), (64, 128), (64, 64))
"""Tiles of the libraries' products."""

TUNED: Tiles = ((128, 256), (128, 128), (64, 128), (32, 128), (16, 128))
"""Tiles of grouped products that are chosen for the shape."""

DEFAULT: Tiles = ((64, 64), (16, 32))
"""Tiles of vLLM's and SGLang's Triton kernel where no configuration for shape and device is shipped."""

_MANY = 4096
"""Figures above which shapes of tiles are tried one by one: together they would not fit a processor's cache."""

FILL = Parameter("fill", 100.0, 0.0, 1500.0, "depth in elements that starting and ending a tile costs")
TILE = Parameter("tile", 0.3, 0.0, 4.0, "loss of arithmetic in small tiles")
CAST = Parameter("cast", 2.0, 0.0, 12.0, "HBM bytes for each input element that is cast before the product")
TRAFFIC = Parameter("traffic", 1.5, 0.2, 12.0, "traffic of activation, permutation and sum, to the least there can be")


def product_terms(tiles: Tiles, c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: m rows of each product, n, k, products, bytes of all; cast in elements where the formula casts.

    m has the shape that all of them broadcast to.
    """
    memory = machine.bytes_per_second * c["memory"]
    return Terms(
        launch=c["launch"],
        compute=_arithmetic(tiles, c, x, machine),
        memory=x["bytes"] / memory,
        power=c["power"],
        serial=c["cast"] * x["cast"] / memory if "cast" in c else 0.0,
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
    np.ceil(waves, out=waves)
    waves *= x["products"]
    waves *= np.ceil(x["n"] / wide)
    waves /= machine.processors
    partial_waves = np.ceil(waves)
    partial_waves -= waves
    partial_waves *= c["wave"]
    waves += partial_waves
    waves *= loss
    return waves


@lru_cache(maxsize=256)
def _tiled(tiles: Tiles, tile: float, dimensions: int) -> tuple[Values, Values, Values]:
    """Height and width of each shape of tile, and outputs that its time is worth; they broadcast to `dimensions`."""
    sides = np.array(tiles, dtype=np.float64).reshape(len(tiles), 2, *(1,) * dimensions)
    high, wide = sides[:, 0], sides[:, 1]
    return high, wide, (1.0 + tile * 64.0 * (1.0 / high + 1.0 / wide)) * high * wide


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


_PRODUCT = (PEAK, WAVE, FILL, TILE, STREAM, LAUNCH, POWER)
_RANGED = ("m", "n", "k")
_LAYER = ("tokens", "n", "k", "products")

GEMM = Formula("gemm", (*_PRODUCT, CAST), _RANGED, partial(product_terms, LIBRARY))
GROUPED = Formula("grouped_gemm", _PRODUCT, (*_RANGED, "products"), partial(product_terms, TUNED))
GROUPED_DEFAULT = Formula("grouped_gemm_default", _PRODUCT, (*_RANGED, "products"), partial(product_terms, DEFAULT))
LAYER = Formula("expert_layer", (*_PRODUCT, TRAFFIC), _LAYER, partial(layer_terms, TUNED))
LAYER_DEFAULT = Formula("expert_layer_default", (*_PRODUCT, TRAFFIC), _LAYER, partial(layer_terms, DEFAULT))
