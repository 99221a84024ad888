"""Reads a parsed `config.json`, or a file of one.

An architecture that is not in the table, a field that is missing, and a mechanism that shapes cannot express are
diagnostics that name it. The text part of a multi-modal configuration (`text_config`) is read where the outer level
holds one. Multi-token-prediction layers and vision towers are named and left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from dagc.catalog.attention import Attention
from dagc.catalog.huggingface.extras import extras
from dagc.catalog.huggingface.families import FAMILIES, Family
from dagc.catalog.huggingface.fields import Config, Lacking
from dagc.catalog.huggingface.layers import Mixing
from dagc.catalog.huggingface.pattern import pattern_of
from dagc.catalog.huggingface.quantisation import quantisation
from dagc.catalog.model import FfnKind, LayerKind, ModelSpec
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.source import Span

UNKNOWN_ARCHITECTURE = Code("N126", "unknown-architecture")
CONFIG_FIELD = Code("N127", "config-field")
CONFIG_UNREADABLE = Code("N128", "config-unreadable")

_LARGEST_BYTES = 16 << 20
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
_SHARED = ("quantization_config", "torch_dtype", "dtype", "tie_word_embeddings")


def read_config(data: Mapping[str, Any], name: str, span: Span | None = None) -> ModelSpec | Diagnostic:
    """The model of a parsed `config.json`, or N126, N127; `span` is the place in the plan that names the file."""
    text = _text(data)
    kind = str(text.get("model_type")).removesuffix("_text")
    family = FAMILIES.get(kind)
    if family is None:
        return UNKNOWN_ARCHITECTURE.at(
            span,
            f"the configuration of `{name}` has the architecture `{kind}` (`model_type`), which is not known here",
            "unknown architecture",
            notes=(f"known are {', '.join(sorted(FAMILIES))}",),
            help=("write the shapes out: `model NAME { layers … attention { … } experts … }`",),
        )
    try:
        return _model(family, Config(text, family.defaults), data, name)
    except Lacking as lacking:
        return CONFIG_FIELD.at(
            span,
            f"in the configuration of `{name}`, the field `{lacking.field}` {lacking.problem}",
            "cannot be read",
            notes=(f"an architecture of type `{kind}` is not determined without it",),
            help=("complete the file, or write the shapes out in a `model NAME { … }` block",),
        )


def read_config_file(path: Path, span: Span | None = None) -> ModelSpec | Diagnostic:
    """The model of a file; N128 where the file cannot be read as a JSON object."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
        data: object = json.loads(content) if len(content) <= _LARGEST_BYTES else None
    except (OSError, ValueError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "it is not JSON"
        return _unreadable(path, reason, span)
    if not isinstance(data, dict):
        return _unreadable(path, "it holds no JSON object", span)
    fields = cast("dict[str, Any]", data)
    return read_config({**_quantised_beside(path, fields), **fields}, _name_of(path), span)


def _quantised_beside(path: Path, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quantisation of a `modelopt` checkpoint, which may stand in a file beside a `config.json` that has none."""
    if data.get("quantization_config") is not None or path.name != "config.json":
        return {}
    try:
        beside: object = json.loads(path.with_name("hf_quant_config.json").read_bytes()[:_LARGEST_BYTES])
    except (OSError, ValueError, RecursionError):
        return {}
    section = cast("Mapping[str, Any]", beside).get("quantization") if isinstance(beside, Mapping) else None
    if not isinstance(section, Mapping):
        return {}
    return {"quantization_config": {"quant_method": "modelopt", **cast("Mapping[str, Any]", section)}}


def _unreadable(path: Path, reason: str, span: Span | None) -> Diagnostic:
    return CONFIG_UNREADABLE.at(
        span,
        f"cannot read the model configuration `{path}`: {reason}",
        "cannot be read",
        help=("give the path of a model's `config.json`, counted from the plan's directory",),
    )


def _name_of(path: Path) -> str:
    """The file's name, or that of its directory where the file is just `config.json`."""
    return path.resolve().parent.name if path.stem == "config" else path.stem


def _text(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text part, with what multi-modal configurations state for the whole model."""
    for part in _TEXT_PARTS:
        inner = data.get(part)
        if isinstance(inner, Mapping):
            shared = {field: data[field] for field in _SHARED if data.get(field) is not None}
            kind = {"model_type": data.get("model_type")}
            return _text({**kind, **shared, **cast("Mapping[str, Any]", inner)})
    return data


def _model(family: Family, config: Config, outer: Mapping[str, Any], name: str) -> ModelSpec:
    """The model of one family. Quantised checkpoints keep embedding, norms and head in the activation type."""
    stored = quantisation(config)
    attention = family.attention(config)
    experts = family.experts(config) if family.experts else None
    stack = _stack(family.mixing(config, attention), family.placing(config))
    has_moe, has_dense = (any(kind.ffn is ffn for kind in stack) for ffn in (FfnKind.MOE, FfnKind.DENSE))
    if experts is None or not has_moe:
        experts = None
    elif experts.top > experts.count:
        raise Lacking("num_experts_per_tok", f"is {experts.top}, more than the {experts.count} experts")
    attention = _principal(attention, stack)
    spec = ModelSpec(
        name=name,
        layers=config.layers(),
        hidden=config.hidden(),
        vocab=config.count("vocab_size"),
        attention=attention,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        expert_count=experts.count if experts else 0,
        top=experts.top if experts else 0,
        experts=experts,
        is_dense=experts is None,
        tied=config.flag("tie_word_embeddings"),
        norms_per_layer=family.norms,
        weight_dtype=stored.weights,
        expert_dtype=stored.experts,
        activation_dtype=config.activation(),
        kv_dtype=stored.kv or config.activation(),
        stored=stored.stored,
        source=f"config.json of {name}",
    )
    more = {**family.more, **family.read_more(config)}
    if has_dense and "dense_ffn" not in more:
        more["dense_ffn"] = config.same(*family.dense)
    spec = replace(spec, **more, **pattern_of(stack, attention, experts is None))
    shapes = spec.shapes()
    return replace(spec, extras=extras(config, outer, shapes, family.mtp)) if shapes else spec


def _stack(mixing: tuple[Mixing, ...], placing: tuple[FfnKind, ...]) -> tuple[LayerKind, ...]:
    return tuple(LayerKind(ffn, one.mixer, one.window) for one, ffn in zip(mixing, placing, strict=True))


def _principal(attention: Attention, stack: tuple[LayerKind, ...]) -> Attention:
    """The attention of the layers without a window, or of the first that have any; as stated where none has."""
    found = [kind for kind in stack if kind.attention]
    far = [kind for kind in found if kind.window is None]
    for kind in (*far, *found):
        if kind.attention:
            return kind.attention
    return attention
