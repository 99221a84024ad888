"""A plan's strategies become the commands of engines: one a service, or why there is none and what comes nearest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagc.check.static import check_engine, check_plan
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, resolve_strategy, stops
from dagc.driver.offers import Trial
from dagc.driver.outcome import Blocks
from dagc.engines.engine import Engine
from dagc.engines.instance import Command, Host
from dagc.engines.registry import engines
from dagc.plan.deployment import Deployment
from dagc.plan.instances import instance_of
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.results.structure import strategy_text
from dagc.source import Source


@dataclass(frozen=True, slots=True)
class Started:
    """What engines make of the strategies of a plan: by strategy, then by engine."""

    diagnostics: tuple[Diagnostic, ...]
    launched: tuple[Launched, ...]


def launch(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Started:
    """What the engine of a plan makes of each strategy with a meaning; without an `engine` block, what each does."""
    found: list[Diagnostic] = []
    known = read_plan(source, blocks, directory, found)
    if known is None:
        return Started(in_order(Trial(source, blocks, directory, Levels()).settle(found)), ())
    file, facts = known
    trial = Trial(source, blocks, directory, Levels(), file.strategies)
    started: list[Launched] = []
    for strategy in file.strategies:
        deployment = resolve_strategy(strategy, found)
        if deployment is None or stops(found):
            continue
        own = check_plan(Plan(deployment, replace(facts, engine=None)))
        found += (d for d in own if d.is_error)
        if not stops(list(own)):
            asked = (facts.engine,) if facts.engine else engines()
            started += (_launched(deployment, facts, engine, trial) for engine in asked)
    return Started(in_order(trial.settle(found)), tuple(started))


def _launched(deployment: Deployment, facts: Facts, engine: Engine, trial: Trial) -> Launched:
    plan = Plan(placed(deployment, engine), replace(facts, engine=engine))
    return launched(plan, engine, trial.under(engine).settle(check_engine(plan)))


PLACEHOLDER = "$MODEL"
"""Placeholder for the model's name or path where the plan does not give one that an engine could load."""

_PUBLISHED = re.compile(r"config\.json of (\S+) on Hugging Face")


@dataclass(frozen=True, slots=True)
class ServiceLaunch:
    """One service: its phase, how many instances to start, GPUs of each, and the command of one."""

    phase: str
    instances: int
    gpus: int
    command: Command


@dataclass(frozen=True, slots=True, repr=False)
class Launched:
    """One strategy under one engine: its services, or `refusals`, each with its ways out."""

    name: str
    strategy: str
    gpus: int
    engine: Engine
    services: tuple[ServiceLaunch, ...]
    refusals: tuple[Diagnostic, ...]

    def __repr__(self) -> str:
        """One line, without the commands."""
        found = "not expressible" if self.refusals else f"{len(self.services)} service{'s' * (len(self.services) != 1)}"
        return f"<Launched {self.name} under {self.engine.title}: {found}>"


def launched(plan: Plan, engine: Engine, refusals: tuple[Diagnostic, ...]) -> Launched:
    """The commands of a plan under an engine that refuses it for these reasons, or for none."""
    deployment = plan.deployment
    services = () if refusals else tuple(_services(plan, engine))
    return Launched(plan.name, strategy_text(deployment), deployment.gpus, engine, services, refusals)


def _services(plan: Plan, engine: Engine) -> Iterator[ServiceLaunch]:
    host = Host(_model(plan), plan.facts.cluster.gpus_per_node)
    for service in plan.deployment.services:
        instance = instance_of(plan.deployment, service, plan.facts.model)
        settings = engine.express(instance) if instance else "no engine has separate pools"
        if instance is None or isinstance(settings, str):
            raise ValueError(f"{plan.name} was not refused by {engine.name}: {settings}")
        one = engine.command(instance, settings, host)
        yield ServiceLaunch(service.phase.value, instance.sizes.replicas, instance.sizes.gpus_per_replica, one)


def _model(plan: Plan) -> str:
    found = _PUBLISHED.match(plan.facts.model.source)
    return found[1] if found else PLACEHOLDER


def launch_data(one: Launched) -> dict[str, Any]:
    """A launch as plain data; `services` is empty where it is not expressible."""
    return {
        "strategy": one.name,
        "text": one.strategy,
        "gpus": one.gpus,
        "engine": _engine_data(one.engine),
        "expressible": not one.refusals,
        "reasons": [{"code": d.code.code, "reason": d.message, "help": list(d.help)} for d in one.refusals],
        "services": [_service_data(service) for service in one.services],
    }


def _engine_data(engine: Engine) -> dict[str, Any]:
    return {
        "name": engine.name,
        "version": engine.version,
        "sources": list(engine.urls()),
        "numbering": list(engine.numbering),
        "layer_split": engine.runtime.layer_split.value,
        "expert_split": engine.expert_split.value,
    }


def _service_data(service: ServiceLaunch) -> dict[str, Any]:
    one = service.command
    return {
        "phase": service.phase,
        "instances": service.instances,
        "gpus_per_instance": service.gpus,
        "nodes_per_instance": one.nodes,
        "environment": dict(one.environment),
        "settings_file": list(one.file),
        "flags": list(one.flags),
        "command": one.line,
    }
