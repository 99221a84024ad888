"""How a configuration says that weights and cache are stored: `quantization_config`.

`formats` turns each method into the types of the matrices that it converts. Which matrices those are is asked by the
names of modules (`modules`): each one is held against the method's exceptions and, where it has several formats, their
targets. A part whose matrices are all stored alike has their type; one whose matrices differ has the type of the larger
share, and bytes an element as they are on average. Embedding, norms and router stay as they are. The head stays too,
but where `gptq` says `lm_head`, or a method that lists its exceptions leaves it out of the list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.huggingface.fields import Config, UnsupportedField, shown
from dagc.catalog.huggingface.formats import FIELD, Formats, formats
from dagc.catalog.huggingface.modules import Module
from dagc.catalog.part import Part

_PARTS = (Part.ATTENTION, Part.MIXERS, Part.DENSE_FFN, Part.EXPERTS, Part.SHARED_EXPERTS)
_HEAD = Module(Part.HEAD, None, ("lm_head",), 1)


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Types of the weights by part, and of the cache where the configuration states it."""

    weights: Dtype
    experts: Dtype
    stored: tuple[tuple[Part, Stored], ...]
    kv: Dtype | None = None


def quantisation(config: Config, modules: Iterable[Module], tied: bool) -> Quantisation:
    """How everything is stored, of a model with these matrices."""
    plain = Stored(config.activation())
    if config.table(FIELD) is None:
        return Quantisation(plain.dtype, plain.dtype, ())
    method = formats(config)
    # What the model has no matrices of is stored as the method converts, for plans that add some.
    by_part = dict.fromkeys(_PARTS, plain if method.only else method.groups[0][1]) | _averages(modules, method, plain)
    if config.get("expert_dtype") is not None:
        by_part[Part.EXPERTS] = _experts(str(config.get("expert_dtype")))
    weights = _weights(by_part, plain)
    experts = by_part[Part.EXPERTS].dtype
    usual = {part: Stored(experts if part is Part.EXPERTS else weights) for part in _PARTS}
    stored = [(part, how) for part, how in by_part.items() if how != usual[part]]
    head = method.of(_HEAD, plain) if method.converts_head and not tied else plain
    stored += [(Part.HEAD, head)] if head != plain else []
    return Quantisation(weights, experts, tuple(stored), method.cache)


def _averages(modules: Iterable[Module], method: Formats, plain: Stored) -> dict[Part, Stored]:
    """How each part that has matrices is stored, its matrices weighed by their elements."""
    shares: dict[Part, dict[Stored, int]] = defaultdict(lambda: defaultdict(int))
    known: dict[Hashable, Stored] = {}
    for module in modules:
        alike = (module.part, module.names, method.of_layer(module.layer))
        if (stored := known.get(alike)) is None:
            stored = known[alike] = method.of(module, plain) if module.names else plain
        shares[module.part][stored] += module.elements
    return {part: _average(found) for part, found in shares.items()}


def _average(shares: Mapping[Stored, int]) -> Stored:
    if len(shares) == 1:
        return next(iter(shares))
    dtype = max(shares.items(), key=lambda share: share[1])[0].dtype
    mean = sum(how.bytes * elements for how, elements in shares.items()) / sum(shares.values())
    return Stored(dtype, mean - dtype.bytes)


def _weights(by_part: Mapping[Part, Stored], plain: Stored) -> Dtype:
    """The type of all weights but the experts: that of attention, or of what is converted beside it."""
    parts = (Part.ATTENTION, Part.DENSE_FFN)
    return next((by_part[part].dtype for part in parts if by_part[part] != plain), plain.dtype)


def _experts(name: str) -> Stored:
    if name != "fp4":
        raise UnsupportedField("expert_dtype", f"is {shown(name)}; known is fp4")
    return Stored(Dtype.MXFP4)
