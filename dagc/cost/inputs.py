"""What a formula is asked of nodes: the regimes of a calibration that may hold, the nearest first, and its inputs.

Rows, pairs and experts that are hit follow by rank from a node's FLOPs and bytes; what does not differ between ranks is
in its shape. Weights of a type that a device has no peak for are computed in the type of activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.formula import Inputs, Values
from dagc.graph.graph import Node
from dagc.graph.ops import (
    ACTIVATION,
    AGGREGATE,
    ATTENTION_CORE,
    EMBEDDING,
    GEMM,
    GROUPED_GEMM,
    INDEXER,
    KV_WRITE,
    NORM,
    RECURRENCE,
    ROUTER,
    SAMPLING,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the plan says beyond the node: device, type of activations, name of the engine if any."""

    device: DeviceSpec
    activation: Dtype
    engine: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Work that is asked about together, figures by row as in `rows`; `sizes` by their names in a question.

    `dtype` is the type of it all.
    """

    flops: Values
    memory_bytes: Values
    sizes: Inputs
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Question:
    """What a formula is asked: names of regimes, the nearest first, and how work becomes its inputs.

    `sizes` are what inputs depend on beside the work of a rank and the type.
    """

    regimes: tuple[str, ...]
    inputs: Callable[[Work, Setting], Inputs]
    sizes: tuple[tuple[str, float], ...] = ()


_LATENT_KEY = 256
"""A single key-value head with wider keys than this is a latent."""


def question(node: Node, setting: Setting) -> Question | None:
    """The question of a node; None where it has no shape that a formula knows."""
    ask = _ASK.get(node.op.name)
    return ask(node, setting) if ask else None


def of_experts(node: Node) -> bool:
    """Whether a stream belongs to the experts of a layer: all that a question takes from the key of a node."""
    return node.key.endswith(("moe.experts.activation", "moe.aggregate"))


def _product(node: Node, setting: Setting) -> Question | None:
    shape = dict(node.shape)
    if "k" not in shape:
        return None
    n, k, products = float(shape.get("n", 1)), float(shape["k"]), float(shape.get("heads", 1))
    m = float(node.flops.flat[0] / (2.0 * n * k * products))
    ends = products * ((n + k) * setting.activation.bytes) * m
    scaled = _is_scaled(node, products * n * k, float(node.memory_bytes.flat[0]) - ends)
    names = _names("gemm", node.dtype, node.dtype in setting.device.flops, scaled)
    return Question(names, _product_inputs, (("n", n), ("k", k), ("products", products)))


def _product_inputs(work: Work, setting: Setting) -> Inputs:
    n, k, products = work.sizes["n"], work.sizes["k"], work.sizes["products"]
    m = work.flops / (2.0 * n * k * products)
    cast = m * (products * k) if _is_cast(work.dtype, setting.device) else np.zeros(1)
    return {"m": m, "n": n, "k": k, "products": products, "bytes": work.memory_bytes, "cast": cast}


def _grouped(node: Node, setting: Setting) -> Question:
    """The tuned kernel, but for vLLM's where it has no configuration (`/default`).

    vLLM's kernel for weights without scales of blocks reads its tiles from files that are shipped for shapes of whole
    layers, cut by tp or not, and hardly any for a part of the experts (vllm-project/vllm
    `model_executor/layers/fused_moe/configs`): then it takes small tiles.
    """
    shape = dict(node.shape)
    names = _names("grouped_gemm", node.dtype, node.dtype in setting.device.flops, "scaled" in shape)
    if setting.engine == "vllm" and shape["held"] < shape["all"]:
        names = (f"{names[0]}/default", *names)
    return Question(names, _grouped_inputs, _sizes(shape, "n", "k", "experts"))


def _grouped_inputs(work: Work, setting: Setting) -> Inputs:
    n, k = work.sizes["n"], work.sizes["k"]
    rows = work.flops / (2.0 * n * k)
    weights = work.memory_bytes - rows * ((n + k) * setting.activation.bytes)
    weights /= n * k * work.dtype.bytes
    hit = np.clip(weights, 1e-9, work.sizes["experts"])
    return {"m": rows / hit, "n": n, "k": k, "products": hit, "bytes": work.memory_bytes}


def _core(node: Node, _: Setting) -> Question:
    shape = dict(node.shape)
    if shape["queries"] > shape["sequences"]:
        expanded = shape["key"] != shape["value"] and shape["heads"] == shape["kv_heads"]
        names = ("mla/prefill", "attention/prefill") if expanded else ("attention/prefill",)
    else:
        latent = shape["kv_heads"] == 1 and shape["key"] > _LATENT_KEY
        names = ("mla/decode", "attention/decode") if latent else ("attention/decode",)
    return Question(names, _core_inputs, _sizes(shape, "queries", "heads", "kv_heads", "key", "value", "sequences"))


def _core_inputs(work: Work, _: Setting) -> Inputs:
    sizes = work.sizes
    width = sizes["key"] + sizes["value"]
    pairs = work.flops / (2.0 * sizes["heads"] * width)
    return {**sizes, "width": width, "pairs": pairs, "bytes": work.memory_bytes}


def _recurrent(node: Node, _: Setting) -> Question:
    shape = dict(node.shape)
    sizes = ("most", max(float(node.flops.max()), 1.0)), ("bytes", float(shape["tokens"] * shape["moved"]))
    return Question(("recurrence", "elementwise"), _recurrent_inputs, sizes)


def _recurrent_inputs(work: Work, setting: Setting) -> Inputs:
    """Bytes of tokens are as FLOPs are over the ranks; the rest are states."""
    tokens = work.flops / work.sizes["most"] * work.sizes["bytes"]
    inputs = {"states": np.maximum(work.memory_bytes - tokens, 0.0), "tokens": tokens}
    return {**inputs, **_stream_inputs(work, setting)}


def _stream(*regimes: str) -> Callable[[Node, Setting], Question]:
    asked = Question(regimes, _stream_inputs)
    return lambda _, __: asked


def _experts(*regimes: str) -> Callable[[Node, Setting], Question]:
    """Streams that may belong to the experts of a layer."""
    plain, own = Question(regimes, _stream_inputs), Question(("experts/stream", *regimes), _stream_inputs)
    return lambda node, _: own if of_experts(node) else plain


def _stream_inputs(work: Work, _: Setting) -> Inputs:
    return {"bytes": work.memory_bytes, "flops": work.flops}


def _sizes(shape: Mapping[str, float], *names: str) -> tuple[tuple[str, float], ...]:
    return tuple([(name, float(shape[name])) for name in names])


@lru_cache(maxsize=64)
def _names(kind: str, dtype: Dtype, native: bool, scaled: bool) -> tuple[str, ...]:
    """Names of the regimes of a way of computing, the nearest first; `native`: the device has a peak for the type."""
    return tuple([f"{kind}/{label}" for label in _labels(dtype, native, scaled)])


def _labels(dtype: Dtype, native: bool, scaled: bool) -> tuple[str, ...]:
    if not native:
        return ("int4", "bf16") if dtype.bytes <= 1 else ("bf16",)
    match dtype:
        case Dtype.FP8:
            return ("fp8_block", "fp8", "bf16") if scaled else ("fp8", "fp8_block", "bf16")
        case Dtype.FP4 | Dtype.MXFP4 | Dtype.NVFP4:
            return ("fp4", "fp8_block", "bf16")
        case Dtype.INT8:
            return ("int8", "fp8", "bf16")
        case _:
            return ("bf16",)


def _is_cast(dtype: Dtype, device: DeviceSpec) -> bool:
    """Whether inputs are brought to the type of the weights."""
    return dtype.bytes <= 1 and dtype in device.flops


def _is_scaled(node: Node, elements: float, weights: float) -> bool:
    """Whether the weights take more than their type says: there are scales for blocks of them."""
    return weights > elements * node.dtype.bytes * (1 + 1e-5)


_ASK: Mapping[str, Callable[[Node, Setting], Question | None]] = {
    GEMM.name: _product,
    ROUTER.name: _product,
    GROUPED_GEMM.name: _grouped,
    ATTENTION_CORE.name: _core,
    NORM.name: _stream("norm", "elementwise"),
    ACTIVATION.name: _experts("activation", "elementwise"),
    AGGREGATE.name: _experts("elementwise"),
    EMBEDDING.name: _stream("elementwise"),
    KV_WRITE.name: _stream("elementwise"),
    SAMPLING.name: _stream("sampling", "elementwise"),
    INDEXER.name: _stream("elementwise"),
    RECURRENCE.name: _recurrent,
}
