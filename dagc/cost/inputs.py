"""A node becomes the inputs of a formula, and the regimes of a calibration that may hold for it, the nearest first.

Rows, pairs and experts that are hit follow by rank from a node's FLOPs and bytes; what does not differ between ranks is
in its shape. Weights of a type that a device has no peak for are computed in the type of activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
class Question:
    """What a formula is asked: names of regimes, the nearest first, and inputs."""

    regimes: tuple[str, ...]
    inputs: Inputs


_LATENT_KEY = 256
"""A single key-value head with wider keys than this is a latent."""


def question(node: Node, setting: Setting) -> Question | None:
    """The question of a node; None where it has no shape that a formula knows."""
    ask = _ASK.get(node.op.name)
    return ask(node, setting) if ask else None


def _product(node: Node, setting: Setting) -> Question | None:
    shape = dict(node.shape)
    if "k" not in shape:
        return None
    n, k, products = float(shape.get("n", 1)), float(shape["k"]), float(shape.get("heads", 1))
    m = node.flops / (2.0 * n * k * products)
    ends = products * ((n + k) * setting.activation.bytes) * float(m.flat[0])
    scaled = _is_scaled(node, products * n * k, float(node.memory_bytes.flat[0]) - ends)
    cast = m * (products * k) if _is_cast(node.dtype, setting.device) else np.zeros_like(m)
    sizes = {"n": _one(n), "k": _one(k), "products": _one(products)}
    inputs = {"m": m, **sizes, "bytes": node.memory_bytes, "cast": cast}
    return Question(tuple(f"gemm/{label}" for label in _labels(node.dtype, setting, scaled)), inputs)


def _grouped(node: Node, setting: Setting) -> Question:
    """The tuned kernel, but for vLLM's where it has no configuration (`/default`).

    vLLM's kernel for weights without scales of blocks reads its tiles from files that are shipped for shapes of whole
    layers, cut by tp or not, and hardly any for a part of the experts (vllm-project/vllm
    `model_executor/layers/fused_moe/configs`): then it takes small tiles.
    """
    shape = dict(node.shape)
    n, k = _one(shape["n"]), _one(shape["k"])
    rows = node.flops / (2.0 * n * k)
    weights = node.memory_bytes - rows * (n + k) * setting.activation.bytes
    hit = np.clip(weights / (n * k * node.dtype.bytes), 1e-9, shape["experts"])
    labels = _labels(node.dtype, setting, "scaled" in shape)
    inputs = {"m": rows / hit, "n": n, "k": k, "products": hit, "bytes": node.memory_bytes, "cast": np.zeros_like(rows)}
    names = [f"grouped_gemm/{label}" for label in labels]
    if setting.engine == "vllm" and shape["held"] < shape["all"]:
        names.insert(0, f"{names[0]}/default")
    return Question(tuple(names), inputs)


def _core(node: Node, setting: Setting) -> Question:
    shape = {name: _one(value) for name, value in node.shape}
    width = shape["key"] + shape["value"]
    pairs = node.flops / (2.0 * shape["heads"] * width)
    inputs = {**shape, "width": width, "pairs": pairs, "bytes": node.memory_bytes}
    if dict(node.shape)["queries"] > dict(node.shape)["sequences"]:
        expanded = shape["key"] != shape["value"] and shape["heads"] == shape["kv_heads"]
        names = ("mla/prefill", "attention/prefill") if expanded else ("attention/prefill",)
    else:
        latent = shape["kv_heads"] == 1 and shape["key"] > _LATENT_KEY
        names = ("mla/decode", "attention/decode") if latent else ("attention/decode",)
    return Question(names, inputs)


def _recurrent(node: Node, _: Setting) -> Question:
    """Bytes of tokens are as FLOPs are over the ranks; the rest are states."""
    shape = dict(node.shape)
    tokens = node.flops / max(float(node.flops.max()), 1.0) * float(shape["tokens"] * shape["moved"])
    inputs = {"states": np.maximum(node.memory_bytes - tokens, 0.0), "tokens": tokens}
    return Question(("recurrence", "elementwise"), {**inputs, "bytes": node.memory_bytes, "flops": node.flops})


def _stream(*regimes: str) -> Callable[[Node, Setting], Question]:
    def ask(node: Node, _: Setting) -> Question:
        return Question(regimes, {"bytes": node.memory_bytes, "flops": node.flops})

    return ask


def _experts(*regimes: str) -> Callable[[Node, Setting], Question]:
    """Streams that may belong to the experts of a layer."""
    plain, own = _stream(*regimes), _stream("experts/stream", *regimes)

    def ask(node: Node, setting: Setting) -> Question:
        return (own if node.key.endswith(("moe.experts.activation", "moe.aggregate")) else plain)(node, setting)

    return ask


def _labels(dtype: Dtype, setting: Setting, scaled: bool) -> tuple[str, ...]:
    """Names of the way of computing in regimes, the nearest first."""
    if dtype not in setting.device.flops:
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


def _is_scaled(node: Node, elements: Values | float, weights: float) -> bool:
    """Whether the weights take more than their type says: there are scales for blocks of them."""
    return weights > float(np.max(elements)) * node.dtype.bytes * (1 + 1e-5)


def _one(value: float) -> Values:
    return np.array([float(value)])


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
