"""How a configuration says that weights and cache are stored: `quantization_config` and its kin.

Each method turns into one type for the matrices that it converts, with the bytes of the scales kept beside them. Which
matrices stay as they are is asked by the names of modules: for each part of the model its modules in every layer are
held against the method's list of exceptions, by size. Embedding, norms, router and head are never converted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.huggingface.fields import Config, Lacking
from dagc.catalog.part import Part

_FIELD = "quantization_config"
_EXCEPTIONS = ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "exclude")
_FP32, _BF16 = Dtype.FP32.bytes, Dtype.BF16.bytes

_MODULES: Mapping[Part, tuple[str, ...]] = {
    Part.ATTENTION: tuple(f"self_attn.{n}_proj" for n in ("q", "k", "v", "o", "q_a", "q_b", "kv_a", "kv_b")),
    Part.MIXERS: ("linear_attn.in_proj_qkvz", "linear_attn.out_proj", "mixer.in_proj", "mixer.out_proj"),
    Part.DENSE_FFN: ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    Part.EXPERTS: ("mlp.experts.0.gate_proj", "mlp.experts.0.up_proj", "mlp.experts.0.down_proj"),
    Part.SHARED_EXPERTS: ("mlp.shared_experts.gate_proj", "mlp.shared_expert.up_proj"),
}
"""Modules whose weights a part is made of, as the libraries name them; any of a part stands for it."""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Types of the weights by part, and of the cache where the configuration states it."""

    weights: Dtype
    experts: Dtype
    stored: tuple[tuple[Part, Stored], ...]
    kv: Dtype | None = None


def quantisation(config: Config) -> Quantisation:
    """How everything is stored."""
    plain = Stored(config.activation())
    table = config.table(_FIELD)
    if table is None:
        return Quantisation(plain.dtype, plain.dtype, ())
    converted = _converted(table)
    names = _names(table)
    by_part = {part: plain if _is_kept(part, names, config.layers()) else converted for part in _MODULES}
    if table.get("quant_method") == "mxfp4":
        by_part |= {part: plain for part in _MODULES if part is not Part.EXPERTS}
    if config.get("expert_dtype") is not None:
        by_part[Part.EXPERTS] = _experts(str(config.get("expert_dtype")))
    weights = by_part[Part.DENSE_FFN].dtype if by_part[Part.ATTENTION] == plain else by_part[Part.ATTENTION].dtype
    experts = by_part[Part.EXPERTS].dtype
    usual = {part: Stored(experts if part is Part.EXPERTS else weights) for part in _MODULES}
    stored = tuple((part, how) for part, how in by_part.items() if how != usual[part])
    return Quantisation(weights, experts, stored, _cache(table))


def _experts(name: str) -> Stored:
    if name != "fp4":
        raise Lacking("expert_dtype", f"is {name!r}; known is fp4")
    return Stored(Dtype.MXFP4)


def _converted(table: Mapping[str, Any]) -> Stored:
    """What a converted matrix is stored as."""
    method = str(table.get("quant_method"))
    match method:
        case "fp8":
            return Stored(Dtype.FP8, _block_scales(table.get("weight_block_size")))
        case "fbgemm_fp8":
            return Stored(Dtype.FP8)
        case "mxfp4":
            return Stored(Dtype.MXFP4)
        case "gptq" | "awq":
            return _integer(table, "bits", "group_size", zeros=True)
        case "compressed-tensors":
            return _group(table)
        case "modelopt":
            return _modelopt(table)
        case _:
            known = "fp8, fbgemm_fp8, mxfp4, gptq, awq, compressed-tensors, modelopt"
            raise Lacking(f"{_FIELD}.quant_method", f"is {method!r}; known are {known}")


def _block_scales(block: object) -> float:
    """One fp32 a block of weights; without blocks one a matrix, which is nothing."""
    if block is None:
        return 0.0
    sides = cast("list[object]", block) if isinstance(block, list) else []
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise Lacking(f"{_FIELD}.weight_block_size", f"is {block!r}, not two sides of a block")
    rows, columns = cast("list[int]", sides)
    return _FP32 / (rows * columns)


def _integer(table: Mapping[str, Any], bits: str, group: str, zeros: bool) -> Stored:
    """Integers in groups along a row, each group with a bf16 scale, and a zero point where the method has one."""
    width, size = table.get(bits), table.get(group)
    types: Mapping[object, Dtype] = {4: Dtype.INT4, 8: Dtype.INT8}
    if not isinstance(width, int) or width not in types:
        raise Lacking(f"{_FIELD}.{bits}", f"is {width!r}; known are 4, 8")
    dtype = types[width]
    if not isinstance(size, int) or size <= 0:
        return Stored(dtype)
    return Stored(dtype, (_BF16 + (dtype.bytes if zeros else 0.0)) / size)


def _group(table: Mapping[str, Any]) -> Stored:
    """`compressed-tensors`: the weights of the one group."""
    groups: object = table.get("config_groups")
    found: list[object] = list(cast("Mapping[str, object]", groups).values()) if isinstance(groups, Mapping) else []
    only = found[0] if len(found) == 1 else None
    weights = cast("Mapping[str, object]", only).get("weights") if isinstance(only, Mapping) else None
    if not isinstance(weights, Mapping):
        raise Lacking(f"{_FIELD}.config_groups", "is not one group with its weights")
    form = cast("Mapping[str, Any]", weights)
    if form.get("type") == "int":
        return _integer(form, "num_bits", "group_size", zeros=form.get("symmetric") is False)
    if form.get("num_bits") == 8:
        return Stored(Dtype.FP8, _block_scales(form.get("block_structure")))
    return _small_float(form.get("group_size"))


def _small_float(group: object) -> Stored:
    """Four-bit floats in groups of 16 are nvfp4, of 32 mxfp4."""
    types: Mapping[object, Dtype] = {16: Dtype.NVFP4, 32: Dtype.MXFP4}
    if not isinstance(group, int) or group not in types:
        raise Lacking(f"{_FIELD}.group_size", f"is {group!r} for a four-bit type; known are 16, 32")
    return Stored(types[group])


def _modelopt(table: Mapping[str, Any]) -> Stored:
    known: Mapping[object, Stored] = {
        "FP8": Stored(Dtype.FP8),
        "NVFP4": Stored(Dtype.NVFP4),
        "FP8_PB_WO": Stored(Dtype.FP8, _FP32 / 128**2),
        "MXFP4": Stored(Dtype.MXFP4),
    }
    algorithm = _inner(table).get("quant_algo")
    if algorithm not in known:
        names = ", ".join(str(name) for name in known)
        raise Lacking(f"{_FIELD}.quant_algo", f"is {algorithm!r}; known are {names}")
    return known[algorithm]


def _inner(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section of `modelopt` that says how, which may be nested once more."""
    nested: object = table.get("quantization")
    return cast("Mapping[str, Any]", nested) if isinstance(nested, Mapping) else table


def _cache(table: Mapping[str, Any]) -> Dtype | None:
    """The type of the cache where the checkpoint has scales for one."""
    scheme: object = table.get("kv_cache_scheme")
    is_eight = isinstance(scheme, Mapping) and cast("Mapping[str, Any]", scheme).get("num_bits") == 8
    return Dtype.FP8 if is_eight or _inner(table).get("kv_cache_quant_algo") == "FP8" else None


def _names(table: Mapping[str, Any]) -> tuple[str, ...]:
    """The exceptions of the method."""
    for field in _EXCEPTIONS:
        found: object = table.get(field) or _inner(table).get(field)
        if isinstance(found, list):
            return tuple(str(name) for name in cast("list[object]", found))
    return ()


def _is_kept(part: Part, names: tuple[str, ...], layers: int) -> bool:
    """Whether any module of the part is an exception in every layer."""
    return any(
        all(any(_matches(name, f"layers.{i}.{module}") for name in names) for i in _probed(layers))
        for module in _MODULES[part]
    )


def _probed(layers: int) -> tuple[int, ...]:
    """Layers that are asked: the middle and the last, because the first ones are often of another make."""
    return tuple(dict.fromkeys((layers // 2, layers - 1)))


def _matches(name: str, module: str) -> bool:
    """Whether an exception names a module: a pattern behind `re:`, else steps of its path, which may hold `*`."""
    if name.startswith("re:"):
        try:
            return re.match(name[3:], f"model.{module}") is not None
        except re.error:
            raise Lacking(f"{_FIELD}.ignore", f"has {name!r} in it, which is no pattern") from None
    steps, path = name.split("."), module.split(".")
    steps = steps[steps.index("layers") :] if "layers" in steps else steps
    starts = range(len(path) - len(steps) + 1)
    return any(all(fnmatchcase(p, s) for p, s in zip(path[i:], steps, strict=False)) for i in starts)
