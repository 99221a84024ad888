"""`dagc models`: the models that dagc knows, and what one model or `config.json` has of parameters and cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagc.cli import completing
from dagc.cli.printing import USAGE, print_json, print_names, print_text, text_or_json
from dagc.diag.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dagc.catalog.attention import Attention, Indexer
    from dagc.catalog.model import LayerKind, ModelShapes, ModelSpec
    from dagc.catalog.parameters import ParameterCount


@click.command()
@click.argument("name", required=False, metavar="[NAME|CONFIG.JSON]", shell_complete=completing.models)
@click.option(
    "--with", "included", multiple=True, metavar="PART", help="Count this part of the checkpoint too: --with mtp."
)
@text_or_json
def models(name: str | None, included: tuple[str, ...], style: str) -> None:
    """List the models, or show the parameters and cache of one."""
    from dagc.catalog.presets import model_names

    if name is None:
        print_names("models", model_names(), style)
        return
    spec = _find(name)
    if isinstance(spec, Diagnostic):
        print_text((spec,))
        raise SystemExit(USAGE)
    print_text(spec.warnings)
    _refuse_unknown(spec, included)
    _show(spec, included, style)


def _refuse_unknown(spec: ModelSpec, included: tuple[str, ...]) -> None:
    """A usage error for a part that the model does not have, or whose shapes are not stated."""
    known = [extra.name for extra in spec.extras if extra.parameters is not None]
    for part in included:
        if part not in known:
            has = f"it has {', '.join(known)}" if known else "it has no optional parts"
            raise click.BadParameter(
                f"{spec.name} has no part `{part}` that can be counted; {has}", param_hint="--with"
            )


def _find(name: str) -> ModelSpec | Diagnostic:
    """A preset, or the model of a file: a name with a suffix `.json` or a directory in it is a path."""
    from dagc.catalog.huggingface.read import read_config_file
    from dagc.catalog.presets import exact_model, load_model, model_names, unknown_name
    from dagc.source import Source

    place = Source("dagc models", name).span(0, len(name))
    if name.endswith(".json") or ("/" in name and (exact_model(name) is None or Path(name).exists())):
        return read_config_file(Path(name), place)
    help = ("`dagc models` lists all; the path of a `config.json` is read too",)
    return load_model(name) or unknown_name(place, "model", model_names(), help=help)


def _show(spec: ModelSpec, included: tuple[str, ...], style: str) -> None:
    from dagc.catalog.parameters import count

    shapes = spec.shapes()
    if shapes is None:
        raise AssertionError(f"{spec.name} lacks {spec.missing()}: presets and configurations are complete")
    parameters = count(shapes)
    if style == "json":
        print_json(_document(spec, shapes, parameters, included))
    else:
        from dagc.diag.text import escape

        click.echo("\n".join(map(escape, _lines(spec, shapes, parameters, included))))


def _document(
    spec: ModelSpec, shapes: ModelShapes, parameters: ParameterCount, included: tuple[str, ...]
) -> dict[str, Any]:
    from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence

    added = {extra.name: extra.parameters or 0 for extra in spec.extras if extra.name in included}
    return {
        "schema_version": 1,
        "name": spec.name,
        "source": spec.source,
        "parameters": {
            "total": parameters.total + sum(added.values()),
            "active": parameters.active,
            "by_part": {**parameters.by_part, **added},
        },
        "left_out": [asdict(extra) for extra in spec.extras if extra.name not in included],
        "weight_bytes": {"total": parameters.weight_bytes, "by_part": parameters.weight_bytes_by_part},
        "kv_bytes_per_token": kv_bytes_per_token(shapes),
        "state_bytes_per_sequence": state_bytes_per_sequence(shapes),
        "shapes": asdict(replace(shapes, stack=())),
        "layers": [asdict(run) for run in layer_runs(shapes)],
    }


def _lines(
    spec: ModelSpec, shapes: ModelShapes, parameters: ParameterCount, included: tuple[str, ...]
) -> Iterator[str]:
    from dagc.catalog.parameters import part_stored
    from dagc.units import format_bytes

    yield f"{spec.name}: {shapes.layers} layers of {shapes.hidden:,}, {_attention(shapes.attention)}, {_ffn(shapes)}"
    yield f"source: {spec.source}"
    yield ""
    if len(runs := layer_runs(shapes)) > 1:
        yield from (f"{run.count:4} layers: {run.mixer}, {run.ffn}" for run in runs)
        yield ""
    yield f"{'part':24}{'parameters':>22}{'bytes':>12}  stored as"
    for part, number in parameters.by_part.items():
        if number:
            size = format_bytes(parameters.weight_bytes_by_part[part])
            yield f"{part:24}{number:>22,}{size:>12}  {part_stored(shapes, part).dtype}"
    added = [extra for extra in spec.extras if extra.name in included]
    yield from (f"{extra.name:24}{extra.parameters:>22,}" for extra in added)
    total = parameters.total + sum(extra.parameters or 0 for extra in added)
    yield f"{'total':24}{total:>22,}{format_bytes(parameters.weight_bytes):>12}" + ("  without --with" if added else "")
    yield from _left_out(spec, included)
    yield ""
    for definition, number in parameters.active.items():
        yield f"{'active, ' + definition.replace('_', ' '):36}{number:>22,}"
    yield ""
    yield from _cache(shapes)


def _left_out(spec: ModelSpec, included: tuple[str, ...]) -> Iterator[str]:
    for extra in spec.extras:
        if extra.name not in included:
            size = "" if extra.parameters is None else f"{extra.parameters:,} parameters, "
            yield f"left out: {extra.name}, {size}{extra.meaning}"


def _cache(shapes: ModelShapes) -> Iterator[str]:
    from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence

    yield f"KV cache: {kv_bytes_per_token(shapes):,.0f} bytes per token over all layers, in {shapes.kv_dtype}"
    if state := state_bytes_per_sequence(shapes):
        yield f"state: {state:,.0f} bytes per sequence, independent of its length"


@dataclass(frozen=True, slots=True)
class LayerRun:
    """How many layers of one kind there are, anywhere in the model; their mixer and feed-forward part in words."""

    count: int
    mixer: str
    ffn: str


def layer_runs(shapes: ModelShapes) -> list[LayerRun]:
    """The kinds of layer, in the order in which they first appear."""
    kinds = Counter(shapes.layer_kinds())
    return [LayerRun(number, _mixer(kind), _feed_forward(kind)) for kind, number in kinds.items()]


_FFN = {"dense": "dense feed-forward", "moe": "experts", "none": "no feed-forward"}


def _feed_forward(kind: LayerKind) -> str:
    return _FFN[str(kind.ffn)] + (f" of {kind.dense_ffn:,}" if kind.dense_ffn else "")


def _mixer(kind: LayerKind) -> str:
    if kind.attention:
        return _attention(kind.attention) + (f", window {kind.window:,}" if kind.window else "")
    if kind.recurrent:
        return f"{kind.recurrent.kind.replace('_', ' ')} with a state of {kind.recurrent.state:,}"
    return "no mixer"


def _attention(attention: Attention) -> str:
    words = f"{attention.kind} with {attention.heads} heads"
    if attention.kind in ("mla", "shared"):
        words += f" and a latent of {attention.kv_lora or attention.head_dim}"
    else:
        words += f" of {attention.head_dim}, {attention.kv_heads} for keys and values"
    words += f", an entry for each {attention.ratio} positions" if attention.ratio else ""
    return words + (_chosen(attention.indexer) if attention.indexer else "")


def _chosen(indexer: Indexer) -> str:
    by = " by an earlier layer" if indexer.reads_other else " by each KV head" if indexer.by_head else ""
    return f", the best {indexer.top:,} chosen{by}"


def _ffn(shapes: ModelShapes) -> str:
    experts = shapes.experts
    return f"{experts.count} experts of which {experts.top} are active" if experts else "dense"
