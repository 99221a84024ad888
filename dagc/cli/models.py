"""`dagc models`: the models that dagc knows, and what one model or `config.json` has of parameters and cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagc.cli.printing import USAGE, print_json, print_names, print_text, text_or_json
from dagc.diag.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dagc.catalog.model import ModelShapes, ModelSpec
    from dagc.catalog.parameters import ParameterCount


@click.command()
@click.argument("name", required=False, metavar="[NAME|CONFIG.JSON]")
@text_or_json
def models(name: str | None, style: str) -> None:
    """List the models, or show the parameters and cache of one."""
    from dagc.catalog.presets import model_names

    if name is None:
        print_names("models", model_names(), style)
        return
    spec = _find(name)
    if isinstance(spec, Diagnostic):
        print_text((spec,))
        raise SystemExit(USAGE)
    _show(spec, style)


def _find(name: str) -> ModelSpec | Diagnostic:
    """A preset, or the model of a file: a name with a suffix `.json` or a directory in it is a path."""
    from dagc.catalog.huggingface.read import read_config_file
    from dagc.catalog.names import unknown_name
    from dagc.catalog.presets import load_model, model_names
    from dagc.source import Source

    place = Source("dagc models", name).span(0, len(name))
    if name.endswith(".json") or "/" in name:
        return read_config_file(Path(name), place)
    help = ("`dagc models` lists all; the path of a `config.json` is read too",)
    return load_model(name) or unknown_name(place, "model", model_names(), help=help)


def _show(spec: ModelSpec, style: str) -> None:
    from dagc.catalog.cache import kv_bytes_per_token
    from dagc.catalog.parameters import count

    shapes = spec.shapes()
    if shapes is None:
        raise AssertionError(f"{spec.name} lacks {spec.missing()}: presets and configurations are complete")
    parameters, cache = count(shapes), kv_bytes_per_token(shapes)
    if style == "json":
        print_json(_document(spec, shapes, parameters, cache))
    else:
        click.echo("\n".join(_lines(spec, shapes, parameters, cache)))


def _document(spec: ModelSpec, shapes: ModelShapes, parameters: ParameterCount, cache: float) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": spec.name,
        "source": spec.source,
        "parameters": {
            "total": parameters.total,
            "active": parameters.active,
            "by_part": parameters.by_part,
        },
        "weight_bytes": {"total": parameters.weight_bytes, "by_part": parameters.weight_bytes_by_part},
        "kv_bytes_per_token": cache,
        "shapes": asdict(shapes),
    }


def _lines(spec: ModelSpec, shapes: ModelShapes, parameters: ParameterCount, cache: float) -> Iterator[str]:
    from dagc.units import format_bytes

    yield f"{spec.name}: {shapes.layers} layers of {shapes.hidden:,}, {_attention(shapes)}, {_ffn(shapes)}"
    yield f"source: {spec.source}"
    yield ""
    yield f"{'part':24}{'parameters':>22}{'bytes':>12}"
    for part, number in parameters.by_part.items():
        if number:
            yield f"{part:24}{number:>22,}{format_bytes(parameters.weight_bytes_by_part[part]):>12}"
    yield f"{'total':24}{parameters.total:>22,}{format_bytes(parameters.weight_bytes):>12}"
    yield ""
    for definition, number in parameters.active.items():
        yield f"{'active, ' + definition.replace('_', ' '):36}{number:>22,}"
    yield ""
    yield f"KV cache: {cache:,.0f} bytes a token over all layers, in {shapes.kv_dtype}"


def _attention(shapes: ModelShapes) -> str:
    attention = shapes.attention
    if attention.kv_lora:
        return f"{attention.kind} with {attention.heads} heads and a latent of {attention.kv_lora}"
    return f"{attention.kind} with {attention.heads} heads, {attention.kv_heads} for keys and values"


def _ffn(shapes: ModelShapes) -> str:
    experts = shapes.experts
    return f"{experts.count} experts of which {experts.top} are active" if experts else "dense"
