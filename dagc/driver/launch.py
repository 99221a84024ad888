"""A plan's strategies become the commands of engines: one a service, or why there is none and what comes nearest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from json import dumps
from pathlib import Path
from typing import Any

from dagc.check.static import check_engine, check_plan, check_start
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, resolve_strategy, stops
from dagc.driver.offers import Trial
from dagc.driver.outcome import Blocks
from dagc.driver.serving import is_published, serving_of
from dagc.engines.engine import Engine
from dagc.engines.instance import ROUTER_FILE, ROUTER_PORT, SETTINGS_FILE, Command, Host
from dagc.engines.registry import engines
from dagc.export.launch.quoting import line, quoted
from dagc.export.launch.roles import Launchable, LaunchRole
from dagc.plan.deployment import Deployment
from dagc.plan.instances import instance_of
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.results.structure import strategy_text
from dagc.source import Source
from dagc.units import format_gpus


@dataclass(frozen=True, slots=True)
class Started:
    """What engines make of the strategies of a plan: by strategy, then by engine."""

    diagnostics: tuple[Diagnostic, ...]
    launched: tuple[Launched, ...]


def launch(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Started:
    """What the engine of a plan makes of each strategy with a meaning; without one, what each server makes of it."""
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
            asked = (facts.engine,) if facts.engine else tuple(engine for engine in engines() if engine.is_server)
            started += (_launched(deployment, facts, engine, trial) for engine in asked)
    return Started(in_order(trial.settle(found)), tuple(started))


def _launched(deployment: Deployment, facts: Facts, engine: Engine, trial: Trial) -> Launched:
    plan = Plan(placed(deployment, engine), replace(facts, engine=engine))
    refusals = trial.under(engine).settle(check_engine(plan))
    return launched(plan, engine, refusals, () if refusals else check_start(plan))


PLACEHOLDER = "$MODEL"
"""Placeholder for the model's name or path where the plan does not give one that an engine could load."""


@dataclass(frozen=True, slots=True)
class ServiceLaunch:
    """One service: its phase, how many instances to start, GPUs of each, and the command of one."""

    phase: str
    instances: int
    gpus: int
    command: Command


@dataclass(frozen=True, slots=True, repr=False)
class Launched:
    """One strategy under one engine: its services, or `refusals`, each with its ways out.

    `warnings` are what the engine starts and the plan has priced otherwise. `model` is its name at the model hub, ''
    where the plan does not say; `machine` counts the GPUs of one machine.
    """

    name: str
    strategy: str
    gpus: int
    engine: Engine
    services: tuple[ServiceLaunch, ...]
    refusals: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...] = ()
    model: str = ""
    machine: int = 8

    def __repr__(self) -> str:
        """One line, without the commands."""
        found = "not expressible" if self.refusals else f"{len(self.services)} service{'s' * (len(self.services) != 1)}"
        return f"<Launched {self.name} under {self.engine.title}: {found}>"

    @property
    def title(self) -> str:
        """Strategy, size and engine in one line."""
        return f"{self.name}: {self.strategy}, {format_gpus(self.gpus)}, {self.engine.title} {self.engine.version}"

    def command_line(self, service: ServiceLaunch) -> str:
        """The command of the first node, or of each where all run the same, as a person types it."""
        one = service.command
        before = [line(one.head_first)] if one.head_first else []
        if one.file:
            before.append(_written(SETTINGS_FILE, one.file))
        ranks = ("mpirun", "-n", str(one.ranks_by_mpi), "--npernode", str(one.gpus)) if one.ranks_by_mpi else ()
        return self._named(" && ".join([*before, line((*ranks, *one.tokens), one.environment)]))

    def worker_line(self, service: ServiceLaunch) -> str | None:
        """That of the other nodes, where it differs."""
        one = service.command
        if one.nodes == 1 or not one.worker_tokens or one.worker_tokens == one.tokens:
            return None
        return self._named(line(one.worker_tokens, () if one.workers_only else one.environment))

    def router_line(self) -> str | None:
        """What takes the requests of two phases, with `$PREFILL_0` and so on for the addresses of their instances."""
        router = None if self.refusals else self.launchable().router()
        if router is None:
            return None
        before = [_written(ROUTER_FILE, router.file)] if router.file else []
        served = () if router.file else ("--port", str(ROUTER_PORT))
        return " && ".join([*before, line((*router.program, *served))])

    def _named(self, text: str) -> str:
        return text.replace(f'"{PLACEHOLDER}"', quoted(self.model)) if self.model else text

    def launchable(self) -> Launchable:
        """It, for the forms of `dagc.export.launch`."""
        roles = tuple(LaunchRole(service.phase, service.instances, service.command) for service in self.services)
        return Launchable(self.name, self.title, self.model, self.engine, roles, self.machine)


def _written(name: str, file: tuple[tuple[str, Any], ...]) -> str:
    """The command that writes a settings file in one line: JSON is YAML."""
    return f"printf '%s\\n' {quoted(dumps(dict(file)))} > {name}"


def launched(
    plan: Plan, engine: Engine, refusals: tuple[Diagnostic, ...], warnings: tuple[Diagnostic, ...] = ()
) -> Launched:
    """The commands of a plan under an engine that refuses it for these reasons, or for none."""
    deployment = plan.deployment
    services = () if refusals else tuple(_services(plan, engine))
    text, machine = strategy_text(deployment), plan.facts.cluster.machine
    return Launched(plan.name, text, deployment.gpus, engine, services, refusals, warnings, _model(plan), machine)


def _services(plan: Plan, engine: Engine) -> Iterator[ServiceLaunch]:
    host = Host(PLACEHOLDER, plan.facts.cluster.machine, plan.facts.cluster.gpus_per_node)
    for service in plan.deployment.services:
        instance = instance_of(plan.deployment, service, plan.facts.model, serving_of(plan, service))
        settings = engine.express(instance) if instance else "no engine has separate pools"
        if instance is None or isinstance(settings, str):
            raise ValueError(f"{plan.name} was not refused by {engine.name}: {settings}")
        one = engine.command(instance, settings, host)
        yield ServiceLaunch(service.phase.value, instance.sizes.replicas, instance.sizes.gpus_per_replica, one)


def _model(plan: Plan) -> str:
    """The checkpoint that the plan has priced; '' of a model whose weights are stated otherwise than published."""
    return plan.facts.model.repository if is_published(plan) else ""


def launch_files(one: Launched, style: str) -> dict[str, str] | str:
    """Files by name in one of the forms: shell, docker, slurm, kubernetes, dynamo; or why there are none."""
    from dagc.export.launch.dynamo import dynamo_files
    from dagc.export.launch.kubernetes import kubernetes_files
    from dagc.export.launch.shell import docker_files, shell_files
    from dagc.export.launch.slurm import slurm_files

    of_servers = {"docker": docker_files, "kubernetes": kubernetes_files, "dynamo": dynamo_files}
    if style in of_servers and not one.engine.is_server:
        return f"{one.engine.title} is a library: `--format {style}` starts servers"
    if style == "docker" and any(service.command.ranks_by_mpi for service in one.services):
        return f"{one.name} needs MPI over several nodes, which a container of one does not have: use `--format slurm`"
    forms = {**of_servers, "shell": shell_files, "slurm": slurm_files}
    return forms[style](one.launchable())


def launch_data(one: Launched) -> dict[str, Any]:
    """A launch as plain data; `services` is empty where it is not expressible."""
    return {
        "strategy": one.name,
        "text": one.strategy,
        "gpus": one.gpus,
        "model": one.model or None,
        "engine": _engine_data(one.engine),
        "expressible": not one.refusals,
        "reasons": [{"code": d.code.code, "reason": d.message, "help": list(d.help)} for d in one.refusals],
        "warnings": [{"code": d.code.code, "message": d.message} for d in one.warnings],
        "services": [_service_data(one, service) for service in one.services],
        "router": one.router_line(),
    }


def _engine_data(engine: Engine) -> dict[str, Any]:
    return {
        "name": engine.name,
        "version": engine.version,
        "is_server": engine.is_server,
        "sources": list(engine.urls()),
        "numbering": list(engine.numbering),
        "layer_split": engine.runtime.layer_split.value,
        "expert_split": engine.expert_split.value,
    }


def _service_data(launched: Launched, service: ServiceLaunch) -> dict[str, Any]:
    one = service.command
    return {
        "phase": service.phase,
        "instances": service.instances,
        "gpus_per_instance": service.gpus,
        "nodes_per_instance": one.nodes,
        "gpus_per_node": one.gpus,
        "environment": dict(one.environment),
        "settings_file": dict(one.file),
        "flags": list(one.flags),
        "tokens": list(one.tokens),
        "worker_tokens": list(one.worker_tokens) if one.nodes > 1 else [],
        "mpi_ranks": one.ranks_by_mpi,
        "command": launched.command_line(service),
        "worker_command": launched.worker_line(service),
    }
