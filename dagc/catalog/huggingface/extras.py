"""What a checkpoint has beside the text model: layers that predict further tokens, and towers for pictures.

A multi-token-prediction layer (DeepSeek-V3, arXiv 2412.19437, section 2.2) is a layer of the model's last kind behind
two norms and a projection of two hidden states to one, with a norm before the head that it shares with the model. The
published totals of some models include it. Of a vision tower the matrices of its layers are counted: 4 h² of attention
and two of the inner width; its embedding, norms, biases and the way to the text model are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from dagc.catalog.huggingface.fields import Config
from dagc.catalog.huggingface.unknown import TOWERS
from dagc.catalog.model import Extra, FfnKind, LayerKind, ModelShapes
from dagc.catalog.parameters import layers_alike, prediction_layers, prediction_text

_MTP = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
_DEPTH = ("depth", "num_hidden_layers", "vt_num_hidden_layers", "layers")
_WIDTH = ("hidden_size", "vt_hidden_size", "width")
_INNER = ("intermediate_size", "vt_intermediate_size")


def extras(config: Config, outer: Mapping[str, Any], shapes: ModelShapes, has_same_layers: bool) -> tuple[Extra, ...]:
    """Every part that is left out; `has_same_layers`: those that predict further tokens are like the model's last."""
    return (*_prediction(config, shapes, has_same_layers), *_towers(outer))


def _prediction(config: Config, shapes: ModelShapes, has_same_layers: bool) -> Iterator[Extra]:
    layers = max(config.count_or(0, field) for field in _MTP)
    if not layers:
        return
    pattern = config.get("mtp_hybrid_override_pattern")
    kinds = _patterned(pattern, shapes) if isinstance(pattern, str) else None
    if has_same_layers:
        yield prediction_layers(layers, shapes)
    elif kinds:
        yield layers_alike(layers, shapes, kinds)
    else:
        yield Extra("mtp", None, f"{prediction_text(layers)}, of shapes that are not stated")


def _patterned(pattern: str, shapes: ModelShapes) -> tuple[LayerKind, ...] | None:
    """Layers as Nemotron-H writes them, like those of the model; None where it has none of a kind."""
    known: dict[str, LayerKind] = {}
    for kind in shapes.layer_kinds():
        letter = "M" if kind.recurrent else "*" if kind.attention else "E" if kind.ffn is FfnKind.MOE else "-"
        known.setdefault(letter, kind)
    return tuple(known[letter] for letter in pattern) if set(pattern) <= set(known) else None


def _towers(outer: Mapping[str, Any]) -> Iterator[Extra]:
    for field in TOWERS:
        tower: object = outer.get(field)
        if isinstance(tower, Mapping) and tower:
            yield _tower(field.split("_")[0], Config(cast("Mapping[str, Any]", tower), {}))


def _tower(name: str, tower: Config) -> Extra:
    depth, width, inner = (_number(tower, fields) for fields in (_DEPTH, _WIDTH, _INNER))
    if depth is None or width is None or inner is None:
        return Extra(name, None, f"a {name} tower, whose shapes are not all stated")
    return Extra(name, depth * (4 * width * width + 2 * width * inner), f"matrices of {depth} layers of a {name} tower")


def _number(tower: Config, fields: tuple[str, ...]) -> int | None:
    value = next((found for field in fields if (found := tower.get(field)) is not None), None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
