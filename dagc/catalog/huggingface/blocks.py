"""Layers that `block_configs` states one by one (`nemotron-nas`: Llama-Nemotron Super and Ultra).

Each entry has an `attention` and an `ffn`, either of which may be left out (`no_op`); then its norm is left out too.
Heads share keys in groups of `n_heads_in_group`. The inner width is two thirds of `ffn_mult` times the hidden size,
rounded up to a multiple of 256 (`_ffn_mult_to_intermediate_size` in vLLM's `models/nemotron_nas.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.huggingface.attention import head_dim
from dagc.catalog.huggingface.fields import (
    LARGEST,
    LARGEST_FACTOR,
    Config,
    InvalidField,
    MissingField,
    UnsupportedField,
    shown,
)
from dagc.catalog.huggingface.layers import Mixing
from dagc.catalog.model import FfnKind

_FIELD = "block_configs"
_READ = {"attention": {"no_op", "n_heads_in_group", "window_length"}, "ffn": {"no_op", "ffn_mult"}}
_MULTIPLE = 256


def attention(config: Config) -> Attention:
    """That of the first layer that has any."""
    for entry in _entries(config):
        if not _flag(entry["attention"], "no_op"):
            return _attention(config, entry["attention"])
    raise UnsupportedField(_FIELD, "states no attention in any layer")


def mixing(config: Config, _: Attention) -> tuple[Mixing, ...]:
    """Attention of each layer, and the width of its feed-forward part."""
    found: list[Mixing] = []
    for entry in _entries(config):
        part, ffn = entry["attention"], entry["ffn"]
        width = 0 if _flag(ffn, "no_op") else _width(config, ffn)
        window = part.get("window_length")
        if window is not None and not (isinstance(window, int) and 0 < window <= LARGEST):
            raise InvalidField(_FIELD, f"states the window {shown(window)}")
        mixer = None if _flag(part, "no_op") else _attention(config, part)
        if mixer is None and not width:
            raise UnsupportedField(_FIELD, "states a layer of neither attention nor feed-forward")
        found.append(Mixing(mixer, window if mixer else None, width))
    return tuple(found)


def placing(config: Config) -> tuple[FfnKind, ...]:
    """Which layers have a feed-forward part."""
    return tuple(FfnKind.NONE if _flag(entry["ffn"], "no_op") else FfnKind.DENSE for entry in _entries(config))


def widest(config: Config) -> dict[str, Any]:
    """The width of the widest layer."""
    return {"dense_ffn": max((m.dense_ffn for m in mixing(config, attention(config))), default=0)}


def _attention(config: Config, part: Mapping[str, object]) -> Attention:
    heads, group = config.count("num_attention_heads"), part.get("n_heads_in_group")
    if not isinstance(group, int) or isinstance(group, bool) or group < 1 or heads % group:
        raise InvalidField(_FIELD, f"states groups of {shown(group)} heads, which do not divide {heads} heads")
    config.without_effect("num_key_value_heads")
    bias = config.flag("attention_bias")
    kind = AttentionKind.MHA if group == 1 else AttentionKind.GQA
    return Attention(kind, heads, heads // group, head_dim(config), qkv_bias=bias, out_bias=bias)


def _width(config: Config, part: Mapping[str, object]) -> int:
    factor = part.get("ffn_mult")
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < LARGEST_FACTOR:
        raise InvalidField(_FIELD, f"states `ffn_mult` {shown(factor)}, not a factor of the width")
    return max(1, -(-int(2 * factor * config.hidden() / 3) // _MULTIPLE)) * _MULTIPLE


def _entries(config: Config) -> list[Mapping[str, Mapping[str, object]]]:
    """Both parts of each layer; a part that asks for something else, such as a linear layer, is refused."""
    layers = config.by_layer(_FIELD, config.layers())
    if layers is None:
        raise MissingField(_FIELD)
    found: list[Mapping[str, Mapping[str, object]]] = []
    for entry in layers:
        parts: Mapping[str, object] = cast("Mapping[str, object]", entry) if isinstance(entry, Mapping) else {}
        if set(parts) != set(_READ) or not all(isinstance(part, Mapping) for part in parts.values()):
            raise InvalidField(_FIELD, "has an entry without both `attention` and `ffn`, or with more")
        found.append(cast("Mapping[str, Mapping[str, object]]", parts))
        for name, part in found[-1].items():
            for field, value in part.items():
                if field not in _READ[name] and value not in (None, False):
                    raise UnsupportedField(_FIELD, f"has `{field}` {shown(value)} in it, which is not supported")
    return found


def _flag(part: Mapping[str, object], field: str) -> bool:
    value = part.get(field, False)
    if not isinstance(value, bool):
        raise InvalidField(_FIELD, f"has `{field}` {shown(value)} in it, not true or false")
    return value
