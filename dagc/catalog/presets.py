"""Models and devices by name, each a JSON file of its own under `models/` and `devices/`.

A file's name is the preset's name; it is read only when asked for, so listing names costs a directory listing. A preset
is found by its name in any case of letters, by the beginning of its name as whole components between hyphens (`h200`
for `h200-sxm`, `qwen3-235b` for `qwen3-235b-a22b`), and a model by the Hugging Face id that its figures are from. Where
several names begin so, they are listed; a name is never taken for one that is only spelt alike.

A file of a model has the fields of the language, or under `config` those of its `config.json` that count; one of a
device has those of `DeviceSpec` and `ClusterSpec` in SI units. Every figure's origin is in the file (`source`,
`sources`). The files are ours: a malformed one is a bug and raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, cast

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.calibration import load_calibration
from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.model import PUBLISHED, Experts, ModelSpec
from dagc.catalog.parameters import prediction_layers
from dagc.catalog.part import Part
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant, spelling
from dagc.source import Span

_HERE = Path(__file__).parent
_PLAIN = ("layers", "hidden", "vocab", "dense_ffn", "first_dense", "moe_every", "gated", "tied", "norms_per_layer")


def model_names() -> tuple[str, ...]:
    """Names of all models, sorted."""
    return _names("models")


def device_names() -> tuple[str, ...]:
    """Names of all devices, sorted."""
    return _names("devices")


def find_model(written: str) -> str | None:
    """The only model that a name means: by its own name, the beginning of it, or its Hugging Face id."""
    return _only(candidates(written, model_names())) or exact_model(written)


def exact_model(written: str) -> str | None:
    """The model of a whole name, in any case of letters, or of a Hugging Face id."""
    owner, _, published = written.rpartition("/")
    if not owner or "/" in owner:
        return same_name(written, model_names())
    return same_name(published, model_names()) or next(
        (name for name, id in _published() if id == written.casefold()), None
    )


def find_device(written: str) -> str | None:
    """The only device that a name means: by its own name, or the beginning of it."""
    return _only(candidates(written, device_names()))


def load_model(written: str) -> ModelSpec | None:
    """The model that a name means, or None."""
    name = find_model(written)
    return _load_model(name) if name else None


def _load_model(name: str) -> ModelSpec:
    data = _read("models", name)
    spec = _from_config(name, data) if "config" in data else _from_shapes(name, data)
    return replace(spec, published_fp8=_scaled(data.get("fp8_scale_block"), Dtype.FP8))


def _from_shapes(name: str, data: Mapping[str, Any]) -> ModelSpec:
    plain = {field: data[field] for field in _PLAIN if field in data}
    dtype = Dtype(data["dtype"])
    attention = attention_of(data["attention"])
    experts = Experts(**data["experts"]) if "experts" in data else None
    spec = ModelSpec(
        name=name,
        attention=attention,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        expert_count=experts.count if experts else 0,
        top=experts.top if experts else 0,
        experts=experts,
        is_dense=experts is None,
        weight_dtype=dtype,
        expert_dtype=Dtype(data.get("expert_dtype", dtype)),
        stored=_scaled(data.get("scale_block"), dtype),
        source=data["source"],
        **plain,
    )
    return _with_prediction(spec, data["mtp_layers"]) if "mtp_layers" in data else spec


def _with_prediction(spec: ModelSpec, layers: int) -> ModelSpec:
    """The model with so many layers to predict further tokens among what is left out."""
    shapes = spec.shapes()
    return replace(spec, extras=(prediction_layers(layers, shapes),)) if shapes else spec


def _scaled(block: int | None, dtype: Dtype) -> tuple[tuple[Part, Stored], ...]:
    """Matrices with one fp32 scale for each square block of weights; nothing where there are none."""
    if block is None:
        return ()
    stored = Stored(dtype, Dtype.FP32.bytes / block**2)
    parts = (Part.ATTENTION, Part.MIXERS, Part.DENSE_FFN, Part.EXPERTS, Part.SHARED_EXPERTS)
    return tuple((part, stored) for part in parts)


def _from_config(name: str, data: Mapping[str, Any]) -> ModelSpec:
    """A model whose file holds the fields of its `config.json` that count."""
    from dagc.catalog.huggingface.read import read_config

    spec = read_config(data["config"], name)
    if not isinstance(spec, ModelSpec):
        raise ValueError(f"the preset {name}: {spec.message}")
    return replace(spec, source=data["source"], warnings=())


def load_device(written: str) -> ClusterSpec | None:
    """A cluster of any number of GPUs of the device that a name means, joined as its makers join them; or None."""
    name = find_device(written)
    return _load_device(name) if name else None


def _load_device(name: str) -> ClusterSpec:
    data = _read("devices", name)
    device = DeviceSpec(
        name=name,
        memory_bytes=data["memory_bytes"],
        bandwidth_bytes_per_second=data["bandwidth_bytes_per_second"],
        flops={Dtype(dtype): flops for dtype, flops in data["flops"].items()},
        compute_efficiency=data["compute_efficiency"],
        memory_efficiency=data["memory_efficiency"],
        source=data["sources"]["datasheet"],
        processors=data.get("processors"),
        calibration=load_calibration(data["calibration"]) if "calibration" in data else None,
    )
    return ClusterSpec(
        name=name,
        device=device,
        gpus=None,
        gpus_per_node=data["gpus_per_node"],
        link_bytes_per_second=data["link_bytes_per_second"],
        network_bytes_per_second=data["network_bytes_per_second"],
        link_latency_seconds=data["link_latency_seconds"],
        network_latency_seconds=data["network_latency_seconds"],
        link_efficiency=data["link_efficiency"],
        network_efficiency=data["network_efficiency"],
        exchanges=data.get("exchanges"),
        gpus_per_machine=data.get("gpus_per_machine"),
    )


def device_sources(name: str) -> Mapping[str, str]:
    """Where each group of a device's figures comes from; `name` must be one of `device_names()`."""
    return _read("devices", name)["sources"]


def attention_of(fields: Mapping[str, Any]) -> Attention:
    """Attention of complete fields; latent attention gets the head shapes that follow from it."""
    shapes = dict(fields)
    kind = AttentionKind(shapes.pop("kind"))
    if kind is AttentionKind.MLA:
        shapes |= {"kv_heads": shapes["heads"], "head_dim": shapes["qk_nope"] + shapes["qk_rope"]}
    return Attention(kind=kind, **shapes)


def _only(names: tuple[str, ...]) -> str | None:
    return names[0] if len(names) == 1 else None


@cache
def _published() -> tuple[tuple[str, str], ...]:
    """Each model whose figures are from Hugging Face, with its id there in lower case."""
    found = ((name, PUBLISHED.match(_read("models", name)["source"])) for name in model_names())
    return tuple((name, source[1].casefold()) for name, source in found if source)


@cache
def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_HERE / folder).glob("*.json")))


def _read(folder: str, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((_HERE / folder / f"{name}.json").read_text("utf-8")))


UNKNOWN_NAME = Code("N110", "unknown-name")


def same_name(written: str, names: Iterable[str]) -> str | None:
    """The name that is the written one in any case of letters."""
    return next((name for name in names if name.casefold() == written.casefold()), None)


def candidates(written: str, names: Iterable[str]) -> tuple[str, ...]:
    """The name that is written, in any case of letters; else all that begin with it as whole components."""
    known = tuple(names)
    same = same_name(written, known)
    return (same,) if same else tuple(name for name in known if name.casefold().startswith(f"{written.casefold()}-"))


def unknown_name(span: Span, what: str, names: Iterable[str], *, help: tuple[str, ...] = ()) -> Diagnostic:
    """N110: a name that nothing has, with the nearest that begin alike; or the beginning of several, all listed."""
    written, known = span.text.strip('"'), tuple(names)
    several = candidates(written, known)
    if len(several) > 1:
        return _of_several(span, what, several)
    near = several or meant(written, [name for name in known if name[:1].casefold() == written[:1].casefold()])
    notes = (f"known are {_listed(written, known)}",) if known else ()
    return UNKNOWN_NAME.at(
        span,
        f"there is no {what} `{span.text}`",
        "unknown name",
        notes=notes,
        help=(*asked(near), *help),
        fixes=spelling(span, near, known),
    )


def _of_several(span: Span, what: str, names: tuple[str, ...]) -> Diagnostic:
    listed = ", ".join(f"`{name}`" for name in names)
    message = f"`{span.text}` is ambiguous: it is the beginning of {len(names)} {what} names"
    return UNKNOWN_NAME.at(span, message, "ambiguous name", help=(f"name one of {listed}",))


def _listed(written: str, known: tuple[str, ...]) -> str:
    """All names where they are few, else those most like what is written and the number of the others."""
    if len(known) <= _LISTED:
        return ", ".join(known)
    likely = sorted(get_close_matches(written.casefold(), known, _LIKELY, cutoff=0.0))
    return f"{', '.join(likely)} and {len(known) - len(likely)} more"


_LISTED, _LIKELY = 20, 6
"""Names up to which all are listed, and how many are shown of more."""
