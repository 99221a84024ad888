"""Reads what fixes a deployment without a command line: names and entries of benchmark recipes.

Names: `TEP8`, attention's tp 8 beside ep 8; `DEP16`, attention's dp 16 beside ep 16; `ctx2_gen1_dep16_batch128`, two
servers for prefill, and one for decode that is dep16. A cut between `ctx` and `gen` is that of the prefill servers.

Entries of YAML, as InferenceX's sweeps have them: `{ tp: 8, ep: 8, dp-attn: true, conc-start: 4, conc-end: 64 }`, and
pairs of `prefill` and `decode` with `num-worker` each. A server has tp (× pp) GPUs. With `dp-attn` each attends to its
own sequences; experts are on groups of ep, each expert's matrices cut by what ep leaves of tp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dagc.degrees import Degrees, Parallelism
from dagc.diag.diagnostic import Diagnostic
from dagc.notation.parse import MAX_DIGITS, UNREADABLE
from dagc.source import Source, Span


@dataclass(frozen=True, slots=True)
class Server:
    """Servers of one kind: for `prefill`, `decode` or both (`phase` empty), how many, and how each is cut.

    `sizes` is None where the text does not say.
    """

    phase: str
    count: int
    sizes: Parallelism | None
    span: Span


@dataclass(frozen=True, slots=True)
class Recipe:
    """One deployment of a text. `says` is what it states beside sizes, for a person."""

    title: str
    servers: tuple[Server, ...]
    span: Span
    says: tuple[str, ...] = ()


Recipes = tuple[Recipe, ...] | Diagnostic

_CUT = r"(?:d|t)?(?:ep|tp)"
_TOKEN = re.compile(
    rf"(?P<phase>ctx|context|prefill|gen|generation|decode)[-_ ]?(?P<servers>\d+)|(?P<cut>{_CUT})[-_ ]?(?P<size>\d+)"
    r"|pp[-_ ]?(?P<stages>\d+)|(?P<word>batch|bs|conc(?:urrency)?|eplb|mtp)[-_ ]?(?P<number>\d+)"
    r"|(?P<suffix>\.(?:ya?ml|json|sh)$)|(?P<between>[-_ ,;/+.]+)|(?P<other>.)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_PHASES = {"ctx": "prefill", "context": "prefill", "prefill": "prefill", "gen": "decode", "generation": "decode",
           "decode": "decode"}  # fmt: skip
_COMBINED = ("dep", "tep", "dtp")
_SAYS = {"batch": "at most {} sequences a batch", "bs": "at most {} sequences a batch", "eplb": "{} redundant experts",
         "conc": "concurrency {}", "concurrency": "concurrency {}", "mtp": "{} drafted tokens"}  # fmt: skip
_RECIPE_KEYS = frozenset({"dp-attn", "num-worker", "conc-start", "conc-end", "conc-list", "conc", "search-space"})
_ENTRY_KEYS = frozenset({"tp", "ep", "pp", "dp-attn", "num-worker"})


def read_recipes(source: Source) -> Recipes | None:
    """The deployments of a text, or why they cannot be read; None for a text that is no recipe."""
    named = _named(source)
    if named is not None or not any(key in source.text.replace("_", "-") for key in _RECIPE_KEYS):
        return named
    return _entries(source)


@dataclass(slots=True)
class _Part:
    """What a name says of one kind of servers, as far as it is read."""

    phase: str
    count: int
    start: int
    end: int
    cut: str = ""
    size: int = 1
    stages: int = 1


def _named(source: Source) -> Recipes | None:
    """A name of combined cuts or of server counts; every part of it must be known."""
    parts = [_Part("", 1, 0, len(source.text.rstrip()))]
    says: list[str] = []
    is_recipe = False
    for token in _TOKEN.finditer(source.text.strip()):
        if token["other"]:
            return None
        number = next((token[name] for name in ("servers", "size", "stages", "number") if token[name]), "1")
        value = int(number[: MAX_DIGITS + 1])
        if not 1 <= value < 10**MAX_DIGITS and not token["number"]:
            return None
        if token["phase"]:
            parts.append(_Part(_PHASES[token["phase"].lower()], value, *token.span()))
            is_recipe = True
        elif token["cut"] or token["stages"]:
            part = parts[-1]
            if token["cut"]:
                if part.cut or token["cut"].lower() == "ep":
                    return None
                part.cut, part.size = token["cut"].lower(), value
                is_recipe |= part.cut in _COMBINED
            else:
                part.stages = value
            part.end = token.end()
        elif token["word"] and (say := _SAYS.get(token["word"].lower())):
            says.append(say.format(value))
    if not is_recipe:
        return None
    return (_recipe(source, parts[1:] or parts, tuple(says)),)


def _recipe(source: Source, parts: list[_Part], says: tuple[str, ...]) -> Recipe:
    servers = tuple(
        Server(part.phase, part.count, _cut(part.cut, part.size, part.stages), source.span(part.start, part.end))
        for part in parts
    )
    return Recipe(source.text.strip(), servers, source.span(0, len(source.text)), says)


def _cut(cut: str, size: int, stages: int) -> Parallelism | None:
    """The first letter says what attention does with the GPUs, the others what the experts do."""
    if not cut:
        return None
    attention = Degrees(dp=size) if cut[0] == "d" else Degrees(tp=size)
    return Parallelism(attention, Degrees(ep=size) if cut.endswith("ep") else Degrees(tp=size), stages)


@dataclass(frozen=True, slots=True)
class _Context:
    """What the levels around an entry state: names of what it belongs to, and lengths."""

    names: tuple[str, ...] = ()
    lengths: Mapping[str, str] = field(default_factory=dict[str, str])


def _entries(source: Source) -> Recipes | None:
    import yaml

    try:
        root = cast("Any", yaml).compose(source.text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        at = min(mark.index if mark else 0, max(len(source.text) - 1, 0))
        reason = getattr(problem, "problem", None) or "it nests too deep"
        return UNREADABLE.at(
            source.span(at, at + 1), f"the recipe is not YAML: {reason}", "cannot be read",
            help=("give one entry: `{ tp: 8, ep: 8, dp-attn: true }`",),
        )  # fmt: skip
    found: list[Recipe] = []
    for one in _walk(source, root, _Context()):
        if isinstance(one, Diagnostic):
            return one
        found.append(one)
    return tuple(found) or None


def _walk(source: Source, node: object, around: _Context, depth: int = 0) -> Iterator[Recipe | Diagnostic]:
    import yaml

    if depth > 100:
        return
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _walk(source, one, around, depth + 1)
    if not isinstance(node, yaml.MappingNode):
        return
    fields = {_key(key): value for key, value in node.value}
    span = source.span(node.start_mark.index, max(node.end_mark.index, node.start_mark.index + 1))
    lengths = {name: _scalar(fields[name]) for name in ("isl", "osl") if name in fields}
    around = _Context(around.names, {**around.lengths, **lengths})
    if {"prefill", "decode"} <= fields.keys() or ("tp" in fields and fields.keys() & (_RECIPE_KEYS | _ENTRY_KEYS)):
        yield _entry(source, fields, span, around)
        return
    for name, value in fields.items():
        inner = _Context((*around.names, name), around.lengths) if depth == 0 else around
        yield from _walk(source, value, inner, depth + 1)


def _entry(source: Source, fields: Mapping[str, object], span: Span, around: _Context) -> Recipe | Diagnostic:
    import yaml

    phases = ("prefill", "decode") if "prefill" in fields else ("",)
    servers: list[Server] = []
    for phase in phases:
        node = fields[phase] if phase else None
        part = {_key(k): v for k, v in node.value} if isinstance(node, yaml.MappingNode) else fields
        one = _server(source, phase, part, span)
        if isinstance(one, Diagnostic):
            return one
        servers.append(one)
    lengths = "/".join(around.lengths.values())
    title = ", ".join(filter(None, ("".join(around.names[:1]), lengths)))
    return Recipe(title or " ".join(span.text.split())[:60], tuple(servers), span, tuple(_conc(fields)))


def _conc(fields: Mapping[str, object]) -> Iterator[str]:
    start, end = (_scalar(fields.get(name)) for name in ("conc-start", "conc-end"))
    single = _scalar(fields.get("conc")) or _scalar(fields.get("conc-list"))
    if start or end:
        yield f"concurrency {start or '?'} to {end or '?'}"
    elif single:
        yield f"concurrency {single}"


def _server(source: Source, phase: str, fields: Mapping[str, object], span: Span) -> Server | Diagnostic:
    numbers: dict[str, int] = {}
    for name, default in (("tp", 1), ("ep", 1), ("pp", 1), ("num-worker", 1)):
        text = _scalar(fields.get(name)) or str(default)
        if not (text.isascii() and text.isdecimal() and 0 < int(text[: MAX_DIGITS + 1]) < 10**MAX_DIGITS):
            return _wrong(span, f"`{name}: {text[:40]}` is not a whole number of at least 1")
        numbers[name] = int(text)
    tp, ep = numbers["tp"], numbers["ep"]
    if tp % ep:
        return _wrong(span, f"`ep: {ep}` does not divide `tp: {tp}`, which is all GPUs of a server's stage")
    is_own = _scalar(fields.get("dp-attn")).lower() in ("true", "yes", "on", "1")
    attention = Degrees(dp=tp) if is_own else Degrees(tp=tp)
    sizes = Parallelism(attention, Degrees(ep=ep, tp=tp // ep), numbers["pp"])
    return Server(phase, numbers["num-worker"], sizes, span)


def _wrong(span: Span, message: str) -> Diagnostic:
    help_ = "an entry has tp, ep that divides it, pp, and `dp-attn: true` or false"
    return UNREADABLE.at(span, message, "in this entry", help=(help_,))


def _key(node: object) -> str:
    return _scalar(node).replace("_", "-")


def _scalar(node: object) -> str:
    """The text of a scalar, of a short list its entries; '' for anything else."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode) and len(node.value) <= 20:
        return ", ".join(_scalar(one) for one in node.value)
    return ""
