"""What is started of one strategy under one engine: roles with their commands, and what is to be known before.

The model is `$MODEL` in all commands; `Launchable.model` is what it stands for, '' where the plan does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dagc.engines.engine import Engine
from dagc.engines.instance import ROUTER_FILE, ROUTER_PORT, SETTINGS_FILE, Command, FrontRouter
from dagc.export.launch.quoting import VARIABLES, quoted, wrapped, written
from dagc.export.launch.yaml_text import yaml_text

_ASKED = {
    "HEAD": "address of the first node of the instance",
    "NODE": "number of this node, from 0",
    "MODEL": "name or path of the checkpoint",
    "DRAFT": "name or path of the draft model",
    "SCRIPT": "script that takes the arguments",
}
"""What a variable stands for, where nothing else says it."""


@dataclass(frozen=True, slots=True)
class LaunchRole:
    """Equal instances of one phase, or of both."""

    phase: str
    instances: int
    command: Command

    @property
    def name(self) -> str:
        """What its files and manifests are called."""
        return "server" if self.phase == "both" else self.phase


@dataclass(frozen=True, slots=True)
class Launchable:
    """A strategy as it is started on machines with `machine` GPUs each; `title` says in one line what it is."""

    name: str
    title: str
    model: str
    engine: Engine
    roles: tuple[LaunchRole, ...]
    machine: int

    @property
    def slug(self) -> str:
        """Its name as Kubernetes and Slurm take it."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.casefold()).strip("-")[:40].strip("-") or "strategy"

    @property
    def nodes(self) -> int:
        """Nodes of all instances."""
        return sum(-(-role.instances // self.on_a_node(role)) * role.command.nodes for role in self.roles)

    def on_a_node(self, role: LaunchRole) -> int:
        """Instances that share a node; those of one phase have ports that others of a node would take, too."""
        shares = role.phase == "both" and role.command.nodes == 1
        return max(self.machine // role.command.gpus, 1) if shares else 1

    def router(self, prefill: Sequence[str] | None = None, decode: Sequence[str] | None = None) -> FrontRouter | None:
        """What takes requests for two phases, given their addresses or `$PREFILL_0`, `$DECODE_0` and so on."""
        by_phase = {role.phase: role.instances for role in self.roles}
        if len(self.roles) < 2:
            return None
        named = ([f"${phase.upper()}_{i}" for i in range(by_phase[phase])] for phase in ("prefill", "decode"))
        first, second = named
        return self.engine.router(prefill or first, decode or second)

    def address(self, host: str) -> str:
        """The server of an instance on a host, as the engine's router takes it."""
        return f"{self.engine.scheme}{host}:{self.engine.port}"

    def variables(self, role: LaunchRole) -> Iterator[str]:
        """Lines that take what a role's commands leave open from the environment, or say that it is missing."""
        command = role.command
        used = [*command.tokens, *command.worker_tokens, *command.head_first, *(v for _, v in command.environment)]
        text = f"{' '.join(used)} {yaml_text(dict(command.file)) if command.file else ''}"
        found = dict.fromkeys(match[0].strip("$(").partition(" ")[0] for match in VARIABLES.finditer(text))
        for name in found:
            if name == "MODEL" and self.model:
                yield f"MODEL=${{MODEL:-{quoted(self.model)}}}"
            elif name == "SELF":
                yield 'SELF="${SELF:-$(hostname -I | cut -d" " -f1)}"'
            else:
                yield f': "${{{name}:?{_ASKED[name]}}}"'
        if self.engine.is_server:
            yield f'PORT="${{PORT:-{self.engine.port}}}"'

    def settings(self, role: LaunchRole) -> str:
        """What writes the settings file of a role, '' where it has none."""
        file = role.command.file
        return written(SETTINGS_FILE, yaml_text(dict(file))) if file else ""

    def body(self, role: LaunchRole, has_file: bool = True, port: str = "$PORT") -> str:
        """What a node of a role runs, after the variables are there; the last command replaces the shell.

        `has_file`: it writes the settings file before. The server listens at `port`.
        """
        command = role.command
        lines = [f"export {name}={quoted(value)}\n" for name, value in command.environment]
        lines += [self.settings(role)] if has_file else []
        served = () if not self.engine.is_server else (*self.engine.served, "--port", port)
        head = f"exec {wrapped((*command.tokens, *served))}\n"
        if command.head_first:
            head = f"{wrapped(command.head_first)}\n{head}"
        workers = command.worker_tokens
        if command.nodes == 1 or not workers or workers == command.tokens:
            return "".join([*lines, head])
        return "".join([*lines, f'if [ "$NODE" = 0 ]; then\n{head}else\nexec {wrapped(workers)}\nfi\n'])

    def router_body(self, router: FrontRouter) -> str:
        """What runs the router; its settings file says the port, where it has one."""
        lines = [written(ROUTER_FILE, yaml_text(dict(router.file)))] if router.file else []
        served = () if router.file else ("--host", "0.0.0.0", "--port", str(ROUTER_PORT))
        return "".join([*lines, f"exec {wrapped((*router.program, *served))}\n"])
