"""A `model` block becomes a `ModelSpec`.

Four forms: a model written out (`model demo { layers 16 … }`), a preset (`model mixtral-8x7b`), a preset with some
fields replaced (`model deepseek-v3 { layers 4 }`), and a configuration file (`model "config.json"`). Any field of a
model that is written out may be left out; what needs it is then undetermined. A dense model says `experts 0` and the
width of its layers, `dense_ffn 28672`. `dtype` is the type of all weights and, where it is a type that arithmetic is
done in, of activations and cache; `expert_dtype`, `activation_dtype` and `kv_dtype` set these apart.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelSpec
from dagc.catalog.part import Part
from dagc.catalog.presets import candidates, exact_model, find_model, load_model, model_names, unknown_name
from dagc.diag.diagnostic import Diagnostic
from dagc.facts.fields import BAD_VALUE, BlockFields, Field, FieldKind, read_fields
from dagc.facts.model_parts import ATTENTION, EXPERTS, contradictions, merge_attention, merge_experts
from dagc.syntax.tree import Block, Word
from dagc.units import Dimension, digits, likeness

DEFAULT = "deepseek-v3"
"""The model of a plan that states none."""

_DTYPES = tuple(Dtype)
_ARITHMETIC = frozenset({Dtype.FP32, Dtype.BF16, Dtype.FP16})
_NEAR = 0.85
"""Likeness to a preset's name from which an incomplete model of its own is taken for a misspelt preset."""

FIELDS = (
    Field("layers", maximum=10_000, misnomers=("num_layers", "num_hidden_layers", "depth")),
    Field("hidden", maximum=10**7, misnomers=("hidden_size", "d_model", "dim", "width")),
    Field("vocab", maximum=10**8, misnomers=("vocab_size", "vocabulary")),
    Field("dtype", FieldKind.CHOICE, words=_DTYPES, misnomers=("weight_dtype", "precision", "torch_dtype")),
    Field("expert_dtype", FieldKind.CHOICE, words=_DTYPES),
    Field("activation_dtype", FieldKind.CHOICE, words=_DTYPES),
    Field("kv_dtype", FieldKind.CHOICE, words=_DTYPES, misnomers=("kv_cache_dtype", "cache_dtype")),
    Field("attention", None, table=ATTENTION),
    Field("experts", minimum=0, maximum=10**6, table=EXPERTS, optional=True, misnomers=("num_experts", "moe")),
    Field("dense_ffn", maximum=10**7, misnomers=("ffn", "intermediate_size")),
    Field("first_dense", minimum=0, maximum=10_000, misnomers=("first_k_dense_replace",)),
    Field("moe_every", maximum=10_000, misnomers=("moe_layer_freq", "decoder_sparse_step")),
    Field("norms_per_layer", maximum=8),
    Field("gated", FieldKind.FLAG),
    Field("tied", FieldKind.FLAG, misnomers=("tie_word_embeddings",)),
    Field("parameters", maximum=10**15, misnomers=("params", "total")),
    Field("active", maximum=10**15, misnomers=("active_parameters",)),
    Field("weights", FieldKind.QUANTITY, Dimension.BYTES),
    Field("kv_per_token", FieldKind.QUANTITY, Dimension.BYTES, misnomers=("kv_bytes_per_token", "kv_cache_per_token")),
)

_PLAIN = ("layers", "hidden", "vocab", "dense_ffn", "first_dense", "moe_every", "norms_per_layer", "gated", "tied")
_DECLARED = {
    "parameters": "declared_parameters",
    "active": "declared_active",
    "weights": "declared_weight_bytes",
    "kv_per_token": "declared_kv_bytes",
}


def declare_model(block: Block | None, base_directory: Path) -> tuple[ModelSpec | None, tuple[Diagnostic, ...]]:
    """The model of a block, or the default without one; None with the diagnostics when something in it is wrong.

    `base_directory` is where the path of a configuration file starts: the plan's directory. Warnings about the
    types of a file's weights are left out where the block states a type.
    """
    if block is None:
        return load_model(DEFAULT), ()
    base = _base(block, base_directory)
    record, problems = read_fields(block.body or (), FIELDS, "model")
    if isinstance(base, Diagnostic):
        return None, (base, *problems)
    spec = _merged(base, record)
    problems = (*problems, *contradictions(base, spec, record)) or _misspelt(block, spec)
    if problems:
        return None, problems
    warnings = () if "dtype" in record or "expert_dtype" in record else base.warnings
    return replace(spec, warnings=(), spans={"model": block.span, **record.spans()}), warnings


def _base(block: Block, base_directory: Path) -> ModelSpec | Diagnostic:
    """What the head names: a file's or preset's model, or an empty one of a new name."""
    if not block.head:
        return ModelSpec("model")
    word, *rest = block.head
    if not isinstance(word, Word) or rest:
        wrong = rest[0] if isinstance(word, Word) else word
        return BAD_VALUE.at(wrong.span, "`model` is followed by one name", "not a name", help=(_FORMS,))
    if _is_file(word, base_directory):
        from dagc.catalog.huggingface.read import read_config_file

        return read_config_file(base_directory / word.text, word.span)
    # A block may describe a model of its own, whose name is free to be the beginning of a preset's.
    preset = find_model(word.text) if block.body is None else exact_model(word.text)
    if preset is None and block.body is None:
        return unknown_name(word.span, "model", model_names(), help=(_OWN,))
    return (load_model(preset) if preset else None) or ModelSpec(word.text)


def _is_file(word: Word, base_directory: Path) -> bool:
    """Whether a name is a path: one of a configuration, or in quotes and not the Hugging Face id of a preset."""
    if word.text.endswith(".json"):
        return True
    return word.quoted and (exact_model(word.text) is None or (base_directory / word.text).exists())


_OWN = "write the shapes of another model out: `model NAME { layers … }`"
_FORMS = 'write `model mixtral-8x7b`, `model NAME { … }` or `model "config.json"`'


def _misspelt(block: Block, spec: ModelSpec) -> tuple[Diagnostic, ...]:
    """N110 where a name is almost a preset's, or the beginning of one, and the block describes no model of its own."""
    word = block.head[0] if block.head else None
    if not isinstance(word, Word) or spec.source != "given" or spec.shapes() is not None:
        return ()
    is_near = any(likeness(word.text, name) >= _NEAR for name in model_names() if digits(name) == digits(word.text))
    if not is_near and ("-" not in word.text or not candidates(word.text, model_names())):
        return ()
    return (unknown_name(word.span, "model", model_names(), help=("a model of your own needs another name",)),)


def _merged(base: ModelSpec, record: BlockFields) -> ModelSpec:
    """The base with every written field in its place."""
    scalars = record.scalars()
    changes: dict[str, Any] = {name: scalars[name] for name in _PLAIN if name in scalars}
    changes |= {field: float(scalars[name]) for name, field in _DECLARED.items() if name in scalars}
    changes |= _dtypes(base, record)
    incomplete: tuple[str, ...] = ()
    if "attention" in record:
        changes |= merge_attention(base, record.table("attention"))
        incomplete += changes.pop("incomplete")
    if "experts" in record:
        experts = record.table("experts")
        changes |= merge_experts(base, record.count("experts"), experts)
        incomplete += changes.pop("incomplete", ())
        if "gated" in experts:
            changes["gated"] = experts.flag("gated")
    if "layers" in changes and "first_dense" not in changes:
        changes["first_dense"] = min(base.first_dense, changes["layers"])
    return replace(base, incomplete=incomplete, **changes)


def _dtypes(base: ModelSpec, record: BlockFields) -> dict[str, Any]:
    """Types that a plan states. A type that all of the model's weights have anyway leaves them their scales.

    In fp8 a preset is stored as its makers published it in fp8.
    """
    found: dict[str, Any] = {}
    if all_weights := record.word("dtype"):
        found |= {"weight_dtype": Dtype(all_weights), "expert_dtype": Dtype(all_weights)}
        if any(how.dtype is not Dtype(all_weights) for _, how in base.stored):
            found["stored"] = ()
        if Dtype(all_weights) is Dtype.FP8 and base.published_fp8:
            found["stored"] = base.published_fp8
        if all_weights in _ARITHMETIC:
            found |= {"activation_dtype": Dtype(all_weights), "kv_dtype": Dtype(all_weights)}
    if record.word("expert_dtype") and base.stored and "stored" not in found:
        found["stored"] = tuple((part, how) for part, how in base.stored if part is not Part.EXPERTS)
    apart = ("expert_dtype", "activation_dtype", "kv_dtype")
    return found | {name: Dtype(word) for name in apart if (word := record.word(name))}
