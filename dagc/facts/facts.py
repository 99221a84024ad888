"""The blocks of a plan file become the facts that its strategies are checked and priced against.

Blocks given on the command line replace those of the file. What neither gives takes its documented default, and
`Facts.defaulted` says so. Claims are tied to their strategies here, and the devices that pools name are loaded. A
block that is wrong counts as not stated, and takes no default: of what it was to say nothing is known, so that nothing
further follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.model import ModelSpec
from dagc.catalog.presets import device_names, load_device, unknown_name
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.diag.fixing import asked, meant, spelling
from dagc.facts.claims import declare_claims, declare_requirements
from dagc.facts.cluster import declare_cluster, unknown_cluster
from dagc.facts.model import declare_model
from dagc.facts.rules import declare_rules
from dagc.facts.workload import DEFAULT as NO_WORKLOAD
from dagc.facts.workload import declare_workload
from dagc.plan.plan import Facts
from dagc.plan.workload import Claim
from dagc.source import Span
from dagc.syntax.tree import Axis, Block, Fold, Option, PlanFile, Pools, Scope, Strategy, Word
from dagc.syntax.vocabulary import BLOCKS, STRATEGY

if TYPE_CHECKING:
    from dagc.engines.engine import Engine

REPEATED_BLOCK = Code("N115", "repeated-block")
UNKNOWN_STRATEGY = Code("N116", "unknown-strategy")
NO_STRATEGY = Code("N119", "no-strategy")

DEFAULTED = ("model", "cluster", "workload")
"""Blocks that have a default."""

_OF_TEXT = frozenset({"gpus", "replicas", "stages"})
"""Figures that the text of a strategy decides, whatever is known beside it."""

_SINGLE = (*DEFAULTED, "require", "engine", "rules")
"""Blocks that occur at most once in a file."""


def declare_facts(
    file: PlanFile, overrides: tuple[Block, ...], base_directory: Path
) -> tuple[Facts, tuple[Diagnostic, ...]]:
    """The facts of a plan, `unknown` naming what cannot be had of model, cluster and workload; and all that is wrong.

    `overrides` are the blocks of the command line; `base_directory` is where paths in the plan start.
    """
    problems = [*_without_strategy(file), *_repeated(file.blocks), *_repeated(overrides)]
    blocks = _first_of_each(file.blocks) | _first_of_each(overrides)
    model, wrong = declare_model(blocks.get("model"), base_directory)
    problems += wrong
    cluster, wrong = declare_cluster(blocks.get("cluster"), base_directory)
    problems += wrong
    workload, wrong = declare_workload(blocks.get("workload"), base_directory)
    problems += wrong
    requirements, wrong = declare_requirements(blocks.get("require"))
    problems += wrong
    engine, wrong = _engine(blocks.get("engine"))
    problems += wrong
    claims, wrong = _claims(file)
    problems += wrong
    devices, wrong = _devices(s.body for s in file.strategies)
    problems += wrong
    rules, wrong = declare_rules(blocks.get("rules"))
    problems += wrong
    hidden = _unread(file) - blocks.keys()
    specs = {"model": model, "cluster": cluster, "workload": workload}
    unknown = tuple(keyword for keyword, spec in specs.items() if spec is None or keyword in hidden)
    facts = Facts(
        model=ModelSpec("model") if model is None or "model" in hidden else model,
        cluster=unknown_cluster() if cluster is None or "cluster" in hidden else cluster,
        workload=workload or NO_WORKLOAD,
        requirements=requirements,
        claims=claims,
        devices=devices,
        defaulted=tuple(keyword for keyword in DEFAULTED if keyword not in blocks or keyword in unknown),
        engine=engine,
        rules=rules,
        unknown=unknown,
        named=_named(blocks, model, cluster, devices),
    )
    return (_of_text(facts) if unknown else facts), tuple(problems)


def _engine(block: Block | None) -> tuple[Engine | None, tuple[Diagnostic, ...]]:
    if block is None:
        return None, ()
    from dagc.facts.engine import declare_engine

    return declare_engine(block)


def _named(
    blocks: Mapping[str, Block],
    model: ModelSpec | None,
    cluster: ClusterSpec | None,
    devices: Iterable[tuple[str, DeviceSpec]],
) -> tuple[tuple[str, str], ...]:
    """Names of presets that were written short, each with the whole one; a Hugging Face id is no short name."""
    heads = ((_head(blocks, "model"), model), (_head(blocks, "cluster"), cluster))
    pairs = [(word, spec.name) for word, spec in heads if word and spec]
    pairs += [(word, cluster.device.name) for word in _words_of(blocks.get("cluster"), "device") if cluster]
    pairs += [(word, device.name) for word, device in devices]
    return tuple(
        dict.fromkeys((word, name) for word, name in pairs if name.casefold().startswith(f"{word.casefold()}-"))
    )


def _head(blocks: Mapping[str, Block], keyword: str) -> str | None:
    head = blocks[keyword].head if keyword in blocks else ()
    return head[0].text if head and isinstance(head[0], Word) else None


def _words_of(block: Block | None, field: str) -> Iterator[str]:
    for entry in (block.body if block else None) or ():
        if entry.name == field:
            yield from (value.text for value in entry.values if isinstance(value, Word))


def _unread(file: PlanFile) -> frozenset[str]:
    """Blocks that a syntax error may have hidden: any of them where a statement's own word could not be read."""
    keywords = frozenset(one.keyword for one in file.unread)
    return keywords if keywords <= {*BLOCKS, STRATEGY} else frozenset(BLOCKS)


def _of_text(facts: Facts) -> Facts:
    """Without requirements and claims that the unknown blocks may decide."""
    return replace(
        facts,
        requirements=tuple(r for r in facts.requirements if r.name in _OF_TEXT),
        claims=tuple((name, tuple(c for c in claims if c.name in _OF_TEXT)) for name, claims in facts.claims),
    )


def _without_strategy(file: PlanFile) -> Iterator[Diagnostic]:
    """N119 for a plan that states facts and nothing to check against them."""
    if not file.strategies and not file.unread:
        last = file.blocks[-1].span
        yield NO_STRATEGY.at(
            last,
            "the plan has blocks but no strategy",
            "the plan ends after this block",
            help=("add one, such as `strategy main = pp 4 < ep 16 ; tp 2 >`",),
        )


def _first_of_each(blocks: Iterable[Block]) -> dict[str, Block]:
    found: dict[str, Block] = {}
    for block in blocks:
        found.setdefault(block.keyword, block)
    return found


def _repeated(blocks: tuple[Block, ...]) -> Iterator[Diagnostic]:
    """N115 for each block after the first of its keyword; claims may be many, one for each strategy."""
    first = _first_of_each(blocks)
    for block in blocks:
        if block.keyword in _SINGLE and block is not first[block.keyword]:
            yield REPEATED_BLOCK.at(
                block.span,
                f"a plan has one `{block.keyword}` block, and this is another",
                "given again",
                labels=(Label(first[block.keyword].span, "first given here"),),
                help=("keep one of them, or make two plans",),
            )


def _claims(file: PlanFile) -> tuple[tuple[tuple[str, tuple[Claim, ...]], ...], list[Diagnostic]]:
    """Claims by strategy, in written order."""
    found: list[tuple[str, tuple[Claim, ...]]] = []
    problems: list[Diagnostic] = []
    names = (*(s.name for s in file.strategies), *(one.name for one in file.unread if one.name is not None))
    for block in file.blocks:
        if block.keyword != "claims":
            continue
        name, place, claims, wrong = declare_claims(block)
        problems += wrong
        if name in names:
            found.append((name, claims))
        elif not wrong and not any(one.name is None and one.keyword not in BLOCKS for one in file.unread):
            problems.append(_unknown_strategy(name, place, names))
    return tuple(found), problems


def _unknown_strategy(name: str, place: Span, names: tuple[str, ...]) -> Diagnostic:
    near = meant(name, names)
    known = f"the plan's strategies are {', '.join(names)}" if names else "the plan has no strategy"
    return UNKNOWN_STRATEGY.at(
        place,
        f"there is no strategy `{name}` to make claims about",
        "no such strategy",
        notes=(known,),
        help=asked(near),
        fixes=spelling(place, near, names),
    )


def _devices(bodies: Iterable[Strategy]) -> tuple[tuple[tuple[str, DeviceSpec], ...], list[Diagnostic]]:
    """The devices that `[device …]` options name, by the name written; N110 for each place of an unknown one."""
    found: dict[str, DeviceSpec] = {}
    problems: list[Diagnostic] = []
    for word in (word for body in bodies for word in _device_words(body)):
        preset = load_device(word.text)
        if preset is None:
            problems.append(unknown_name(word.span, "device", device_names()))
        else:
            found.setdefault(word.text, preset.device)
    return tuple(found.items()), problems


def _device_words(strategy: Strategy) -> Iterator[Word]:
    for option in _options(strategy):
        if option.name == "device" and len(option.values) == 1 and isinstance(option.values[0], Word):
            yield option.values[0]


def _options(strategy: Strategy) -> Iterator[Option]:
    """Options of a strategy and of all parts of it, in the order of the text."""
    match strategy:
        case Axis() | Scope():
            yield from strategy.options
            if strategy.body is not None:
                yield from _options(strategy.body)
        case Fold() | Pools():
            for branch in strategy.branches:
                yield from _options(branch)
