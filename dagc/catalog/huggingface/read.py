"""Reads a parsed `config.json`, or a file of one.

An architecture that is not in the table, a field that is missing, wrong or asks for a mechanism that shapes cannot
express, and a field that is not known are diagnostics that name it. The text part of a multi-modal configuration
(`text_config`) is read where the outer level holds one. Multi-token-prediction layers and vision towers are named and
left out.

A stack of layers that follows a simple pattern is stated by the pattern, as the language writes it.

So `model "config.json" { first_dense 0 }` can replace a field of it. What follows none keeps its stack.

Quantisation that a `config.json` does not state itself.

ModelOpt writes it to `hf_quant_config.json` beside `config.json`: that file is read where it lies there. Where it does
not, and the name of the checkpoint says that it is quantised, the weights are not stored as the configuration
says; nothing but the name says how, so the figures are those of the configuration, with a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from dagc.catalog.attention import Attention
from dagc.catalog.huggingface.extras import extras
from dagc.catalog.huggingface.families import FAMILIES, ModelFamily
from dagc.catalog.huggingface.fields import Config, FieldError, InvalidField, UnknownFields
from dagc.catalog.huggingface.formats import FIELD
from dagc.catalog.huggingface.layers import Mixing
from dagc.catalog.huggingface.modules import modules
from dagc.catalog.huggingface.outline import model_block
from dagc.catalog.huggingface.quantisation import quantisation
from dagc.catalog.huggingface.report import Reported, cannot_read, unknown_fields, wrong_field
from dagc.catalog.huggingface.unknown import refuse_unknown, text_part
from dagc.catalog.model import Experts, FfnKind, LayerKind, ModelSpec
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.source import Source, Span, read_file

UNKNOWN_ARCHITECTURE = Code("N126", "unknown-architecture")

_LARGEST_BYTES = 16 << 20


def read_config(
    data: Mapping[str, Any], name: str, span: Span | None = None, path: Path | None = None, text: Source | None = None
) -> ModelSpec | Diagnostic:
    """The model of a parsed `config.json`, or N126, N127, N129; `span` is the place in the plan that names the file.

    `path` is the file's, `text` what it holds, for places in messages. The model's `warnings` say what is doubtful.
    """
    part = text_part(data)
    kind = str(part.data.get("model_type")).removesuffix("_text")
    family = FAMILIES.get(kind)
    if family is None:
        return _unknown_architecture(kind, name, span, data)
    config = Config(part.data, family.defaults)
    try:
        spec = _model(family, config, data, name)
        refuse_unknown(part, config.asked)
    except UnknownFields as unknown:
        return unknown_fields(unknown, Reported(name, span, text))
    except FieldError as wrong:
        place = wrong.field if wrong.is_from_root else part.place(wrong.field)
        return wrong_field(wrong, place, Reported(name, span, text))
    if part.data.get(FIELD) is not None:
        return spec
    return replace(spec, warnings=name_warnings(_names(name, data, path), path, span))


def read_config_file(path: Path, span: Span | None = None) -> ModelSpec | Diagnostic:
    """The model of a file; N128 where the file, or the one on quantisation beside it, is not a JSON object."""
    found = _parsed(path, span)
    if isinstance(found, Diagnostic):
        return found
    fields, text = found
    if path.name == "config.json" and text_part(fields).data.get(FIELD) is None:
        beside = _beside(path.with_name(BESIDE), span)
        if isinstance(beside, Diagnostic):
            return beside
        fields = {**fields, **beside}
    return read_config(fields, _name_of(path), span, path, text)


def _beside(path: Path, span: Span | None) -> Mapping[str, Any] | Diagnostic:
    """The quantisation of a `modelopt` checkpoint, which may be in a file beside a `config.json` that has none."""
    if not path.is_file():
        return {}
    found = _parsed(path, span)
    if isinstance(found, Diagnostic):
        return found
    section = section_of(found[0])
    if section is None:
        return cannot_read(path, "it has no section `quantization`", span)
    return {FIELD: section}


def _parsed(path: Path, span: Span | None) -> tuple[dict[str, Any], Source] | Diagnostic:
    """The object that a file holds, and its text."""
    try:
        content = read_file(path, _LARGEST_BYTES)
        data: object = json.loads(content)
        text = content.decode(json.detect_encoding(content), "replace")
    except (OSError, ValueError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "it is not JSON"
        return cannot_read(path, reason, span)
    if not isinstance(data, dict):
        return cannot_read(path, "it holds no JSON object", span)
    return cast("dict[str, Any]", data), Source(str(path), text)


def _unknown_architecture(kind: str, name: str, span: Span | None, data: Mapping[str, Any]) -> Diagnostic:
    has_kind = kind != str(None)
    unknown = f"has the architecture `{kind}` (`model_type`), which dagc does not know"
    return UNKNOWN_ARCHITECTURE.at(
        span,
        f"the configuration of `{name}` {unknown if has_kind else 'states no architecture (`model_type`)'}",
        "unknown architecture" if has_kind else "no architecture",
        notes=(f"known are {', '.join(sorted(FAMILIES))}",),
        help=(f"write the shapes out; fields of usual names, to be checked and completed:\n{model_block(data, name)}",),
    )


def _names(name: str, data: Mapping[str, Any], path: Path | None) -> tuple[str, ...]:
    """What the checkpoint is called: the file's name, its directory's, and what the file says."""
    own = data.get("_name_or_path")
    where = (path.resolve().parent.name,) if path else ()
    return (name, *where, *([own.rstrip("/").split("/")[-1]] if isinstance(own, str) else []))


def _name_of(path: Path) -> str:
    """The file's name, or that of its directory where the file is just `config.json`."""
    return path.resolve().parent.name if path.stem == "config" else path.stem


def _model(family: ModelFamily, config: Config, outer: Mapping[str, Any], name: str) -> ModelSpec:
    """The model of one family."""
    attention = family.attention(config)
    experts = family.experts(config) if family.experts else None
    stack = _stack(family.mixing(config, attention), family.placing(config))
    has_moe, has_dense = (any(kind.ffn is ffn for kind in stack) for ffn in (FfnKind.MOE, FfnKind.DENSE))
    if experts is None or not has_moe:
        experts = None
    elif experts.top > experts.count:
        raise InvalidField("num_experts_per_tok", f"is {experts.top}, more than the {experts.count} experts")
    attention = _principal(attention, stack)
    more = {**family.more, **family.read_more(config)}
    if has_dense and "dense_ffn" not in more:
        more["dense_ffn"] = config.same(*family.dense)
    config.without_effect(*family.dense, *family.ignored)
    for field, value in family.expected.items():
        config.expect(field, value)
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
        activation_dtype=config.activation(),
        source=f"config.json of {name}",
    )
    spec = _stored(replace(spec, **more), config, stack, experts)
    spec = replace(spec, **pattern_of(stack, attention, experts is None))
    shapes = spec.shapes()
    return replace(spec, extras=extras(config, outer, shapes, family.mtp)) if shapes else spec


def _stored(spec: ModelSpec, config: Config, stack: tuple[LayerKind, ...], experts: Experts | None) -> ModelSpec:
    """The model with the types of its weights and cache."""
    found = quantisation(config, modules(stack, config.hidden(), spec.dense_ffn or 0, experts), spec.tied)
    return replace(
        spec,
        weight_dtype=found.weights,
        expert_dtype=found.experts,
        kv_dtype=found.kv or spec.activation_dtype,
        stored=found.stored,
    )


def _stack(mixing: tuple[Mixing, ...], placing: tuple[FfnKind, ...]) -> tuple[LayerKind, ...]:
    return tuple(LayerKind(ffn, m.mixer, m.window, m.dense_ffn) for m, ffn in zip(mixing, placing, strict=True))


def _principal(attention: Attention, stack: tuple[LayerKind, ...]) -> Attention:
    """The attention of the layers without a window, or of the first that have any; as stated where none has."""
    found = [kind for kind in stack if kind.attention]
    far = [kind for kind in found if kind.window is None]
    for kind in (*far, *found):
        if kind.attention:
            return kind.attention
    return attention


def pattern_of(stack: tuple[LayerKind, ...], attention: Attention, is_dense: bool) -> dict[str, Any]:
    """Fields of `ModelSpec`: the pattern, or the stack itself."""
    window = _window(stack)
    placing = (0, 1) if is_dense else _experts([kind.ffn is FfnKind.MOE for kind in stack])
    is_simple = all(kind.mixer == attention and kind.ffn is not FfnKind.NONE and not kind.dense_ffn for kind in stack)
    if window is None or placing is None or not is_simple:
        return {"stack": stack}
    width, every = window
    first, step = placing
    return {
        "attention": replace(attention, window=width, window_every=every),
        "first_dense": first,
        "moe_every": step,
    }


def _window(stack: tuple[LayerKind, ...]) -> tuple[int | None, int] | None:
    """The window and how often it occurs, counted from layer 0; None where that is no pattern."""
    windows = [kind.window for kind in stack]
    width = windows[0]
    if width is None:
        return (None, 1) if set(windows) == {None} else None
    every = next((i for i, other in enumerate(windows) if i and other is not None), len(windows))
    expected = [width if i % every == 0 else None for i in range(len(windows))]
    return (width, every) if windows == expected else None


def _experts(moe: list[bool]) -> tuple[int, int] | None:
    """(first_dense, moe_every) of layers with experts; None where that is no pattern."""
    found = [i for i, is_moe in enumerate(moe) if is_moe]
    if not found:
        return None
    every = found[1] - found[0] if len(found) > 1 else 1
    first = found[0] - (every - 1)
    expected = [i >= first and (i - first) % every == every - 1 for i in range(len(moe))]
    return (first, every) if first >= 0 and moe == expected else None


QUANTISATION_ELSEWHERE = Code("W142", "quantisation-elsewhere", Severity.WARNING)

BESIDE = "hf_quant_config.json"
_SUFFIX = re.compile(
    r"(?:^|[-_. ])(fp8|fp4|nvfp4|mxfp4|mxfp8|int4|int8|w4a16|w4a8|w4a4|w8a8|w8a16|awq|gptq|[2-8]bit|q[2-8]|bnb)"
    r"(?=$|[-_. ])",
    re.IGNORECASE,
)
_DTYPES = {"fp8": "fp8", "fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "int4": "int4", "int8": "int8",
           "awq": "int4", "gptq": "int4", "w4a16": "int4", "w8a8": "int8"}  # fmt: skip


def section_of(data: object) -> Mapping[str, Any] | None:
    """What `quantization_config` would say, from a parsed `hf_quant_config.json`; None where it has no such section."""
    section = cast("Mapping[str, Any]", data).get("quantization") if isinstance(data, Mapping) else None
    if not isinstance(section, Mapping):
        return None
    return {"quant_method": "modelopt", **cast("Mapping[str, Any]", section)}


def name_warnings(names: tuple[str, ...], path: Path | None, span: Span | None) -> tuple[Diagnostic, ...]:
    """W142 where a name of a checkpoint says that it is quantised, or a file beside it, and its configuration does not.

    A file beside one of another name than `config.json` may be of another checkpoint, and is not read.
    """
    found = next(((name, match.group(1)) for name in names if (match := _SUFFIX.search(name))), None)
    if found is not None:
        reason, dtype = f"the name says {found[1]}", _DTYPES.get(found[1].lower(), "fp8")
        where = f"put the checkpoint's `{BESIDE}` beside its `config.json`" if path else "add its `quantization_config`"
    elif path is not None and path.with_name(BESIDE).is_file():
        reason, dtype, where = f"there is a `{BESIDE}` beside it", "fp8", "name the file `config.json`"
    else:
        return ()
    return (
        QUANTISATION_ELSEWHERE.at(
            span,
            f"the configuration of `{found[0] if found else names[0]}` has no `quantization_config`, and {reason}",
            "counted as stored in the type of activations",
            notes=("weights are counted as the file states them; the checkpoint may state another type elsewhere",),
            help=(f'{where}, or state the type: `model "config.json" {{ dtype {dtype} }}`',),
        ),
    )
