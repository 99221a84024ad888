"""What the bracketed options of a service's axes say.

Turns options as written into `Options`, and says where each was written. It reads what is well-formed and passes
over the rest: the rules of `dagc.check.names` report unknown names, misplaced options and bad values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from dagc.degrees import AxisKind
from dagc.engines.runtime import ExpertExchange
from dagc.plan.deployment import Options
from dagc.plan.scopes import Kind
from dagc.source import Span
from dagc.syntax.tree import Axis, Option, Quantity, Scope, ScopeKind, Strategy, Value, Word

MAX_MICRO = 4096
"""More micro-batches than any pipeline has in flight; each is scheduled, so time grows with them."""

_ALL_SCOPES: frozenset[Kind] = frozenset(ScopeKind)


@dataclass(frozen=True, slots=True)
class OptionForm:
    """An option of the language: where it may stand, what values it takes, in words and as a test, and an example."""

    name: str
    on: frozenset[Kind]
    values: str
    example: str
    accepts: Callable[[tuple[Value, ...]], bool]


def counts(values: tuple[Value, ...]) -> tuple[int, ...] | None:
    """Values that are whole numbers without a unit, or None when one is not."""
    whole = [v.value for v in values if isinstance(v, Quantity) and v.unit is None and isinstance(v.value, int)]
    return tuple(whole) if len(whole) == len(values) else None


def _is_count(values: tuple[Value, ...], lowest: int, highest: int | None = None) -> bool:
    found = counts(values)
    if found is None or len(found) != 1:
        return False
    return found[0] >= lowest and (highest is None or found[0] <= highest)


def _are_counts(values: tuple[Value, ...]) -> bool:
    found = counts(values)
    return bool(found) and min(found) >= 1


def _is_word(values: tuple[Value, ...], words: tuple[str, ...] = ()) -> bool:
    return len(values) == 1 and isinstance(values[0], Word) and (not words or values[0].text in words)


OPTIONS: Mapping[str, OptionForm] = {
    form.name: form
    for form in (
        OptionForm(
            "micro",
            frozenset({AxisKind.PP}),
            f"a count from 1 to {MAX_MICRO}",
            "micro 8",
            lambda v: _is_count(v, 1, MAX_MICRO),
        ),
        OptionForm("layers", frozenset({AxisKind.PP}), "a count for each stage", "layers 9 7", _are_counts),
        OptionForm("redundant", frozenset({AxisKind.EP}), "a count", "redundant 32", lambda v: _is_count(v, 0)),
        OptionForm("overlap", frozenset({AxisKind.EP}), "1 or 2", "overlap 2", lambda v: _is_count(v, 1, 2)),
        OptionForm("sp", frozenset({AxisKind.TP}), "no value", "sp", lambda v: not v),
        OptionForm("dcp", frozenset({AxisKind.TP}), "a count of at least 1", "dcp 2", lambda v: _is_count(v, 1)),
        OptionForm(
            "shared",
            frozenset({AxisKind.EP, ScopeKind.MOE}),
            "`sharded` or `replicated`",
            "shared replicated",
            lambda v: _is_word(v, ("sharded", "replicated")),
        ),
        OptionForm("beside", frozenset({AxisKind.EP, ScopeKind.MOE}), "no value", "beside", lambda v: not v),
        OptionForm(
            "exchange",
            frozenset({AxisKind.EP}),
            "`gather` or `deepep`",
            "exchange deepep",
            lambda v: _is_word(v, tuple(ExpertExchange)),
        ),
        OptionForm("device", _ALL_SCOPES, "the name of a device", "device h20", _is_word),
    )
}
"""Every option, by name."""


def read_options(nodes: Iterable[Strategy]) -> tuple[Options, tuple[tuple[str, Span], ...]]:
    """The options of a service's axes and scopes, and where each was written; `device` belongs to its pool."""
    options = Options()
    spans: dict[str, Span] = {}
    for written in _written(nodes):
        options = _read(options, written)
        spans.setdefault(written.name, written.span)
    return options, tuple(spans.items())


def read_device(scope: Strategy) -> str | None:
    """The device that a scope names for its pool."""
    if not isinstance(scope, Scope):
        return None
    named = [o.values[0] for o in scope.options if o.name == "device" and OPTIONS["device"].accepts(o.values)]
    return named[0].text if named and isinstance(named[0], Word) else None


def _written(nodes: Iterable[Strategy]) -> Iterable[Option]:
    for node in nodes:
        if isinstance(node, Axis | Scope):
            yield from (o for o in node.options if _is_well_formed(node, o))


def _is_well_formed(node: Axis | Scope, option: Option) -> bool:
    form = OPTIONS.get(option.name)
    return form is not None and node.kind in form.on and form.accepts(option.values)


def _read(options: Options, option: Option) -> Options:
    numbers = counts(option.values) or (0,)
    match option.name:
        case "micro":
            return replace(options, micro=numbers[0])
        case "layers":
            return replace(options, layers=numbers)
        case "redundant":
            return replace(options, redundant=numbers[0])
        case "overlap":
            return replace(options, overlap=numbers[0])
        case "sp":
            return replace(options, sequence_parallel=True)
        case "dcp":
            return replace(options, decode_context=numbers[0])
        case "shared":
            return replace(options, shared_replicated=_text(option) == "replicated")
        case "exchange":
            return replace(options, exchange=ExpertExchange(_text(option)))
        case "beside":
            return replace(options, shared_beside=True)
        case _:
            return options


def _text(option: Option) -> str:
    value = option.values[0]
    return value.text if isinstance(value, Word) else ""
