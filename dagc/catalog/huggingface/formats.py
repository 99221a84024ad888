"""The methods of `quantization_config`: what a converted matrix is stored as, and which matrices are converted.

A method converts to one type, with the bytes of the scales kept beside the weights; `compressed-tensors` may have one
for each of several groups of modules. A list names a module by its path, whole or a part of it whose steps may hold
`*`; behind `re:` it is a pattern over the path; `Linear` is every matrix. How activations are converted is not asked.

Lists of a quantisation that name modules.

An entry is the path of a module or a part of it, whose steps may hold `*`; behind `re:` a pattern that the path starts
with; or `Linear`, every matrix. Entries of single layers are kept by layer, because lists of large models have hundreds
of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.huggingface.fields import Config, InvalidField, MissingField, UnsupportedField, shown
from dagc.catalog.huggingface.modules import Module
from dagc.catalog.part import Part

FIELD = "quantization_config"
_EXCEPTIONS = ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "exclude")
_FP32, _BF16 = Dtype.FP32.bytes, Dtype.BF16.bytes


@dataclass(frozen=True, slots=True)
class Formats:
    """What modules are stored as: `groups` of targets and their format, exceptions that stay as they are.

    `only` is the one part that the method converts, where it does not convert all. `converts_head`: the head counts
    as a module like the others.
    """

    groups: tuple[tuple[Names, Stored], ...]
    exceptions: Names
    only: Part | None = None
    converts_head: bool = False
    cache: Dtype | None = None

    def of(self, module: Module, plain: Stored) -> Stored:
        """How a module is stored. A group that names it counts before one of every module."""
        if self.only not in (None, module.part) or self.exceptions.has(module):
            return plain
        named = (stored for targets, stored in self.groups if targets.has(module))
        return next(named, None) or next((stored for targets, stored in self.groups if targets.is_all), plain)

    def of_layer(self, layer: int | None) -> Hashable:
        """What is said of one layer alone: alike for layers of which the same is said."""
        return (self.exceptions.of_layer(layer), *(targets.of_layer(layer) for targets, _ in self.groups))


def formats(config: Config) -> Formats:
    """The method that a configuration states."""
    method = config.get(f"{FIELD}.quant_method")
    if method is None:
        raise MissingField(f"{FIELD}.quant_method")
    listed, cache = _exceptions(config), _cache(config)
    exceptions = Names(listed or ())
    match method:
        case "fp8":
            stored = Stored(Dtype.FP8, _block_scales(config, f"{FIELD}.weight_block_size"))
            return Formats(_all(stored), exceptions, cache=cache)
        case "fbgemm_fp8":
            return Formats(_all(Stored(Dtype.FP8)), exceptions, cache=cache)
        case "mxfp4":
            return Formats(_all(Stored(Dtype.MXFP4)), exceptions, Part.EXPERTS, cache=cache)
        case "gptq" | "awq":
            stored = _integer(config, f"{FIELD}.bits", f"{FIELD}.group_size", zeros=True)
            config.without_effect(f"{FIELD}.zero_point")
            config.refuse(f"{FIELD}.dynamic", "settings of single modules")
            head = config.flag(f"{FIELD}.lm_head")
            return Formats(_all(stored), exceptions, converts_head=head, cache=cache)
        case "compressed-tensors":
            return Formats(_groups(config), exceptions, converts_head=listed is not None, cache=cache)
        case "modelopt":
            stored = _modelopt(config)
            return Formats(_all(stored), exceptions, converts_head=listed is not None, cache=cache)
        case _:
            known = "fp8, fbgemm_fp8, mxfp4, gptq, awq, compressed-tensors, modelopt"
            raise UnsupportedField(f"{FIELD}.quant_method", f"is {shown(method)}; known are {known}")


def _all(stored: Stored) -> tuple[tuple[Names, Stored], ...]:
    return ((Names(("Linear",)), stored),)


def _block_scales(config: Config, field: str) -> float:
    """One fp32 a block of weights; without blocks one a matrix or row, which is nothing."""
    block = config.get(field)
    if block is None:
        return 0.0
    sides = cast("list[object]", block) if isinstance(block, list) else [block]
    whole = [side for side in sides if isinstance(side, int) and not isinstance(side, bool) and side > 0]
    if len(sides) != 2 or len(whole) != 2:
        raise InvalidField(field, f"is {shown(sides)}, not two sides of a block")
    return _FP32 / (whole[0] * whole[1])


def _integer(config: Config, bits: str, group: str, zeros: bool) -> Stored:
    """Integers in groups along a row, each group with a bf16 scale, and a zero point where the method has one."""
    width, size = config.get(bits), config.get(group)
    types: Mapping[object, Dtype] = {4: Dtype.INT4, 8: Dtype.INT8}
    if not isinstance(width, int) or width not in types:
        raise UnsupportedField(bits, f"is {shown(width)}; known are 4, 8")
    dtype = types[width]
    if not isinstance(size, int) or size <= 0:
        return Stored(dtype)
    return Stored(dtype, (_BF16 + (dtype.bytes if zeros else 0.0)) / size)


def _groups(config: Config) -> tuple[tuple[Names, Stored], ...]:
    """`compressed-tensors`: the targets and weights of each group."""
    config.without_effect(f"{FIELD}.format")
    config.refuse(f"{FIELD}.transform_config", "a transform of the weights")
    if config.get(f"{FIELD}.sparsity_config.format") not in (None, "dense"):
        raise UnsupportedField(f"{FIELD}.sparsity_config.format", "is not `dense`: weights that are left out")
    sparsity = ("ignore", "targets", "sparsity_structure", "global_sparsity", "registry_requires_subclass")
    config.without_effect(*(f"{FIELD}.sparsity_config.{name}" for name in sparsity))
    groups = config.table(f"{FIELD}.config_groups")
    if not groups:
        raise MissingField(f"{FIELD}.config_groups")
    found = tuple(_group(config, f"{FIELD}.config_groups.{name}") for name in groups)
    if len({stored for targets, stored in found if targets.is_all}) > 1:
        raise InvalidField(f"{FIELD}.config_groups", "has several groups of every matrix that differ")
    return found


def _group(config: Config, path: str) -> tuple[Names, Stored]:
    if config.table(path) is None:
        raise InvalidField(path, "is null, not a group")
    config.without_effect(f"{path}.format")
    targets = _strings(config, f"{path}.targets")
    return Names(targets or ("Linear",)), _weights(config, f"{path}.weights")


def _weights(config: Config, path: str) -> Stored:
    if config.table(path) is None:
        raise MissingField(path)
    config.without_effect(*(f"{path}.{name}" for name in ("dynamic", "strategy", "symmetric")))
    kind, bits = config.get(f"{path}.type"), config.get(f"{path}.num_bits")
    if kind not in ("int", "float"):
        raise UnsupportedField(f"{path}.type", f"is {shown(kind)}; known are int, float")
    if kind == "int":
        config.without_effect(f"{path}.block_structure")
        zeros = config.get(f"{path}.symmetric") is False
        return _integer(config, f"{path}.num_bits", f"{path}.group_size", zeros)
    if bits == 8:
        config.without_effect(f"{path}.group_size")
        return Stored(Dtype.FP8, _block_scales(config, f"{path}.block_structure"))
    if bits != 4:
        raise UnsupportedField(f"{path}.num_bits", f"is {shown(bits)}; known are 4, 8")
    config.without_effect(f"{path}.block_structure")
    return _small_float(config, f"{path}.group_size")


def _small_float(config: Config, field: str) -> Stored:
    """Four-bit floats in groups of 16 are nvfp4, of 32 mxfp4."""
    types: Mapping[object, Dtype] = {16: Dtype.NVFP4, 32: Dtype.MXFP4}
    group = config.get(field)
    if not isinstance(group, int) or group not in types:
        raise UnsupportedField(field, f"is {shown(group)} for a four-bit type; known are 16, 32")
    return Stored(types[group])


def _modelopt(config: Config) -> Stored:
    """The algorithm of `modelopt`. Its groups, which newer files repeat, say the same in other words."""
    inner = _inner(config)
    known: Mapping[object, Stored] = {
        "FP8": Stored(Dtype.FP8),
        "NVFP4": Stored(Dtype.NVFP4),
        "NVFP4_AWQ": Stored(Dtype.NVFP4),
        "W4A16_NVFP4": Stored(Dtype.NVFP4),
        "FP8_PB_WO": Stored(Dtype.FP8, _FP32 / 128**2),
        "MXFP4": Stored(Dtype.MXFP4),
    }
    algorithm = config.get(f"{inner}.quant_algo")
    if algorithm is None:
        raise MissingField(f"{inner}.quant_algo")
    if not isinstance(algorithm, str) or algorithm not in known:
        raise UnsupportedField(f"{inner}.quant_algo", f"is {shown(algorithm)}; known are {', '.join(map(str, known))}")
    stored = known[algorithm]
    _check_group_size(config, f"{inner}.group_size", stored.dtype)
    for path in (FIELD, inner):
        groups = config.table(f"{path}.config_groups") or ()
        types = {_group(config, f"{path}.config_groups.{name}")[1] for name in groups}
        if types - {stored}:
            raise UnsupportedField(f"{path}.config_groups", f"has a group of another type than {algorithm}")
    return stored


def _check_group_size(config: Config, field: str, dtype: Dtype) -> None:
    """A group of another size would have more or fewer scales than the type counts."""
    expected = {Dtype.NVFP4: 16, Dtype.MXFP4: 32}.get(dtype)
    size = config.get(field)
    if expected and size not in (None, expected):
        raise UnsupportedField(field, f"is {shown(size)}; known is {expected} for {dtype}")


def _inner(config: Config) -> str:
    """The section of `modelopt` that says how, which may be nested once more."""
    return f"{FIELD}.quantization" if isinstance(config.get(f"{FIELD}.quantization"), Mapping) else FIELD


def _cache(config: Config) -> Dtype | None:
    """The type of the cache where the checkpoint has scales for one."""
    scheme, inner = f"{FIELD}.kv_cache_scheme", _inner(config)
    if config.table(scheme) is not None:
        names = ("type", "dynamic", "strategy", "symmetric", "group_size", "block_structure")
        config.without_effect(*(f"{scheme}.{name}" for name in names))
        bits = config.get(f"{scheme}.num_bits")
        if bits != 8:
            raise UnsupportedField(f"{scheme}.num_bits", f"is {shown(bits)}; known is 8")
        return Dtype.FP8
    algorithm = config.get(f"{inner}.kv_cache_quant_algo")
    if algorithm not in (None, "FP8", "auto"):
        raise UnsupportedField(f"{inner}.kv_cache_quant_algo", f"is {shown(algorithm)}; known is FP8")
    return Dtype.FP8 if algorithm == "FP8" else None


def _exceptions(config: Config) -> tuple[str, ...] | None:
    """The exceptions of the method; None where it has no list of them."""
    paths = dict.fromkeys(f"{path}.{name}" for path in (FIELD, _inner(config)) for name in _EXCEPTIONS)
    lists = [found for path in paths if (found := _strings(config, path)) is not None]
    return tuple(name for one in lists for name in one) if lists else None


def _strings(config: Config, field: str) -> tuple[str, ...] | None:
    found = config.get(field)
    if found is None:
        return None
    entries = cast("list[object]", found) if isinstance(found, list) else [None]
    names = tuple(name for name in entries if isinstance(name, str))
    if len(names) != len(entries):
        raise InvalidField(field, "is not a list of names of modules")
    for name in names:
        _check_pattern(field, name)
    return names


def _check_pattern(field: str, name: str) -> None:
    if name.startswith("re:"):
        try:
            re.compile(name[3:])
        except (re.error, RecursionError, OverflowError):
            raise InvalidField(field, f"has {shown(name)} in it, which is no pattern") from None


_ALL = frozenset({"Linear", "re:.*"})
_ROOTS = ("model.", "language_model.model.", "model.language_model.", "backbone.", "")
"""What the path of a layer starts with in checkpoints."""


class Names:
    """One list, of modules as `has` says, and `is_all` where it names every matrix."""

    def __init__(self, entries: Sequence[str]) -> None:
        self.is_all = not _ALL.isdisjoint(entries)
        self._patterns = [re.compile(entry[3:]) for entry in entries if entry.startswith("re:") and entry not in _ALL]
        self._steps: dict[str | None, list[list[str]]] = defaultdict(list)
        self._numbers_layers = any(re.search(r"\d", pattern.pattern) for pattern in self._patterns)
        for entry in entries:
            if not entry.startswith("re:"):
                steps = entry.split(".")
                steps = steps[steps.index("layers") :] if "layers" in steps else steps
                numbered = steps[1] if len(steps) > 1 and steps[0] == "layers" else "*"
                self._numbers_layers |= numbered != "*" and not numbered.isdecimal()
                self._steps[numbered if numbered.isdecimal() else None].append(steps)

    def has(self, module: Module) -> bool:
        """Whether an entry names the module by one of its names."""
        return any(self._names(path, module.layer) for path in module.paths())

    def of_layer(self, layer: int | None) -> Hashable:
        """What the list says of one layer alone: alike for layers of which it says the same."""
        if layer is None or self._numbers_layers:
            return layer
        return frozenset(".".join(steps[2:]) for steps in self._steps.get(str(layer), ()))

    def _names(self, path: str, layer: int | None) -> bool:
        if any(pattern.match(root + path) for pattern in self._patterns for root in _ROOTS):
            return True
        own = path.split(".")
        return any(_within(steps, own) for steps in self._of(layer))

    def _of(self, layer: int | None) -> Iterator[list[str]]:
        yield from self._steps.get(None, ())
        if layer is not None:
            yield from self._steps.get(str(layer), ())


def _within(steps: Sequence[str], path: Sequence[str]) -> bool:
    """Whether the steps are steps of the path that follow each other,."""
    starts = range(len(path) - len(steps) + 1)
    return any(all(fnmatchcase(p, s) for p, s in zip(path[i:], steps, strict=False)) for i in starts)
