"""The blocks of a plan file become the facts that its strategies are checked and priced against.

Blocks given on the command line replace those of the file. What neither gives takes its documented default, and
`Facts.defaulted` says so. Claims are tied to their strategies here, and the devices that pools name are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from dagc.catalog.device import DeviceSpec
from dagc.catalog.names import unknown_name
from dagc.catalog.presets import device_names, load_device
from dagc.declare.claims import declare_claims
from dagc.declare.cluster import declare_cluster
from dagc.declare.model import declare_model
from dagc.declare.require import declare_requirements
from dagc.declare.rules import declare_rules
from dagc.declare.workload import declare_workload
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.plan import Facts
from dagc.plan.workload import Claim
from dagc.source import Span
from dagc.syntax.tree import Axis, Block, Fold, Option, PlanFile, Pools, Scope, Strategy, Word
from dagc.units import nearest

REPEATED_BLOCK = Code("N115", "repeated-block")
UNKNOWN_STRATEGY = Code("N116", "unknown-strategy")
NO_STRATEGY = Code("N119", "no-strategy")

DEFAULTED = ("model", "cluster", "workload")
"""Blocks that have a default."""

_SINGLE = (*DEFAULTED, "require", "rules")
"""Blocks that stand at most once in a file."""


def declare_facts(
    file: PlanFile, overrides: tuple[Block, ...], base_directory: Path
) -> tuple[Facts | None, tuple[Diagnostic, ...]]:
    """The facts of a plan, or None where model, cluster or workload cannot be had; and all that is wrong with them.

    `overrides` are the blocks of the command line; `base_directory` is where paths in the plan start.
    """
    problems = [*_without_strategy(file), *_repeated(file.blocks), *_repeated(overrides)]
    blocks = _first_of_each(file.blocks) | _first_of_each(overrides)
    model, wrong = declare_model(blocks.get("model"), base_directory)
    problems += wrong
    cluster, wrong = declare_cluster(blocks.get("cluster"))
    problems += wrong
    workload, wrong = declare_workload(blocks.get("workload"))
    problems += wrong
    requirements, wrong = declare_requirements(blocks.get("require"))
    problems += wrong
    claims, wrong = _claims(file)
    problems += wrong
    devices, wrong = _devices(s.body for s in file.strategies)
    problems += wrong
    rules, wrong = declare_rules(blocks.get("rules"))
    problems += wrong
    if model is None or cluster is None or workload is None:
        return None, tuple(problems)
    defaulted = tuple(keyword for keyword in DEFAULTED if keyword not in blocks)
    return Facts(model, cluster, workload, requirements, claims, devices, defaulted, rules), tuple(problems)


def _without_strategy(file: PlanFile) -> Iterator[Diagnostic]:
    """N119 for a plan that states facts and nothing to check against them."""
    if not file.strategies:
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
    names = tuple(s.name for s in file.strategies)
    for block in file.blocks:
        if block.keyword != "claims":
            continue
        name, place, claims, wrong = declare_claims(block)
        problems += wrong
        if name in names:
            found.append((name, claims))
        elif not wrong:
            problems.append(_unknown_strategy(name, place, names))
    return tuple(found), problems


def _unknown_strategy(name: str, place: Span, names: tuple[str, ...]) -> Diagnostic:
    near = nearest(name, names)
    known = f"the plan's strategies are {', '.join(names)}" if names else "the plan has no strategy"
    return UNKNOWN_STRATEGY.at(
        place,
        f"there is no strategy `{name}` to claim anything of",
        "no such strategy",
        notes=(known,),
        help=(f"did you mean `{near}`?",) if near else (),
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
    """Options of a strategy and all that stands in it, in the order of the text."""
    match strategy:
        case Axis() | Scope():
            yield from strategy.options
            if strategy.body is not None:
                yield from _options(strategy.body)
        case Fold() | Pools():
            for branch in strategy.branches:
                yield from _options(branch)
