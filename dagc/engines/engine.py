"""What is recorded of a serving engine: one `Engine` is one engine in one version.

Each engine has a file of this folder with a class for the rules that are code (how its settings and its degrees
follow from each other, its command) and `VERSIONS`, an instance a version with all that is data, the newest last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from dagc.degrees import Parallelism
from dagc.engines.flags import Flag, Settings, read_settings
from dagc.engines.instance import Command, FrontRouter, Host, Instance
from dagc.engines.recorded import recorded_flags
from dagc.engines.runtime import ExpertExchange, Runtime
from dagc.engines.scheduler import NO_ENGINE_SCHEDULER, Scheduler


class ExpertSplit(StrEnum):
    """What becomes of experts that do not divide by ep."""

    FIRST = "first"
    """One more on the first ranks; with redundant experts they must divide."""
    EVEN = "even"
    """Refused."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A file of the engine's repository, at a commit, and what is taken from it."""

    path: str
    commit: str
    rules: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What an engine makes of degrees or flags: sizes, with the arithmetic in words, or why it would not start.

    `sizes` is None exactly where there is a `refusal`.
    """

    sizes: Parallelism | None
    steps: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def world(self) -> int | None:
        """GPUs of all copies."""
        return self.sizes.gpus if self.sizes else None

    @staticmethod
    def refused(reason: str) -> Counted:
        """No answer, and why."""
        return Counted(None, refusal=reason)


@dataclass(frozen=True, kw_only=True)
class Engine(ABC):
    """One engine, in one version.

    `name` is that of its file, as written in plans. `order` is its place in lists, the smallest first; of engines
    that know as many flags of a command line, the first is taken. `programs` are words of a command line that name it.

    `numbering` names the axes of one instance outermost first, as the engine numbers its ranks, pp, dp and tp among
    them whether it has them or not; `attention` and `experts` name those of one stage's two domains.

    `lacks` names options of the language that the version does not have. `rules` names the rules of
    `dagc.check.engines` that hold for it beside those for all engines. `serves_phases`: an instance can serve prefill
    or decode alone. `is_server`: its command answers requests; of another the command is the arguments of a script.
    `scheduler` is how it schedules requests. `port` is that of its server by default; `served` are the flags of a
    server that listens to others than its own machine. `dynamo_model` names the model to its worker under Dynamo.
    `scheme` begins an address in what its router is given.

    `most_dispatched` tokens of a rank go to experts in a decode step at most. `drafts_in_stages` are the phases in
    which tokens are guessed ahead in a pipeline. `decode_multiples` names what decode must have as prefill does, where
    the two are apart: `tp` a multiple, `pp` the same or 1.
    """

    name: str
    title: str
    version: str
    order: int
    repository: str
    references: tuple[Reference, ...]
    programs: tuple[str, ...]
    numbering: tuple[str, ...]
    attention: tuple[str, ...]
    experts: tuple[str, ...]
    runtime: Runtime
    expert_split: ExpertSplit
    flags: tuple[Flag, ...]
    lacks: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    serves_phases: bool = True
    is_server: bool = True
    port: int = 8000
    served: tuple[str, ...] = ("--host", "0.0.0.0")
    dynamo_model: str = "--model"
    scheme: str = "http://"
    most_dispatched: int | None = None
    drafts_in_stages: frozenset[str] = frozenset()
    decode_multiples: frozenset[str] = frozenset()
    scheduler: Scheduler = NO_ENGINE_SCHEDULER

    def urls(self) -> tuple[str, ...]:
        """Addresses of the files, one a reference."""
        return tuple(f"{self.repository}/blob/{one.commit}/{one.path}" for one in self.references)

    def has_flag(self, setting: str) -> bool:
        """Whether a flag of the version gives a setting."""
        return any(flag.setting == setting for flag in self.flags)

    def knows(self, flag: str) -> bool:
        """Whether the recorded command line of the version has a flag."""
        return flag in recorded_flags(self.name, self.version)

    def dispatches(self, instance: Instance, domain: int) -> bool:
        """Whether ranks send tokens to experts by DeepEP, as it is priced. Overlapped batches need its kernels."""
        experts = instance.sizes.experts
        if experts is None or not instance.exchanges_tokens:
            return instance.overlap > 1
        written = None if instance.exchange is None else ExpertExchange(instance.exchange)
        ranks, is_both = experts.ep * experts.tp, instance.phase is None
        found = self.runtime.exchange(ranks, domain, written, is_both=is_both)
        return instance.overlap > 1 or found is ExpertExchange.DEEPEP

    @abstractmethod
    def settings_of_degrees(self, degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
        """The settings that degrees as people write them become, and what changes on the way, in words.

        Keys are among tp, pp, dp, ep, cp, etp; those absent are 1. The model is taken to have experts.
        """

    @abstractmethod
    def sizes_of(self, settings: Settings) -> Counted:
        """What the engine makes of its own settings."""

    @abstractmethod
    def settings_of(self, sizes: Parallelism) -> Settings | str:
        """The settings with which one instance has these sizes, or why it cannot have them."""

    @abstractmethod
    def command(self, instance: Instance, settings: Settings, host: Host) -> Command:
        """The command that starts an instance with the settings that `express` gives."""

    def whole_ranks(self, instance: Instance) -> int:
        """Consecutive ranks that no two nodes share with others: as many as a node has, or a part, or a multiple."""
        return 1

    def lacking_placement(self, instance: Instance, gpus_per_node: int) -> str | None:
        """Why ranks cannot be put on nodes with so many GPUs, whatever their sizes."""
        return None

    def router(self, prefill: Sequence[str], decode: Sequence[str]) -> FrontRouter | None:
        """What serves one address before instances of each phase, given by their addresses; None: nothing does."""
        return None

    def dynamo_file(self, command: Command) -> Mapping[str, Any]:
        """The settings file of a worker under Dynamo that takes its arguments from one; none where they are flags."""
        return {}

    def refused_layers(self, layers: tuple[int, ...]) -> str | None:
        """Why the engine cannot have these layers on its stages, although it has the option."""
        return None

    def read(self, tokens: Sequence[str]) -> Counted:
        """What the engine makes of command-line tokens."""
        settings = read_settings(self.flags, tokens)
        return Counted.refused(settings) if isinstance(settings, str) else self.sizes_of(settings)

    def count(self, degrees: Mapping[str, int]) -> Counted:
        """How the engine counts degrees that people write without saying how they are meant (`tp 8, dp 8, ep 8`).

        Keys are those of `settings_of_degrees`. Where the experts' tp (etp) follows from the others, it must come out
        the same.
        """
        below = [f"{axis} {degree}" for axis, degree in degrees.items() if degree < 1]
        if below:
            return Counted.refused(f"a degree counts parts, so it is at least 1: {', '.join(below)}")
        settings, notes = self.settings_of_degrees(degrees)
        found = self.sizes_of(settings)
        experts, etp = found.sizes and found.sizes.experts, degrees.get("etp")
        if experts and etp not in (None, experts.tp):
            return Counted.refused(
                f"the experts' tp follows from the other degrees and would be {experts.tp}, not {etp}"
            )
        return replace(found, steps=(*notes, *found.steps))

    def express(self, instance: Instance) -> Settings | str:
        """The settings of one instance, or why it cannot be expressed: sizes first, then options."""
        settings = self.settings_of(instance.sizes)
        if isinstance(settings, str):
            return settings
        reasons = (reason for _, reason in self.lacking_options(instance))
        return self.lacking_phase(instance) or next(reasons, None) or {**settings, **self._options(instance)}

    def _options(self, instance: Instance) -> Settings:
        written = {
            "eplb": min(instance.redundant, 1),
            "redundant": instance.redundant,
            "overlap": int(instance.overlap > 1),
            "dcp": instance.decode_context if instance.decode_context > 1 else 0,
            "sp": int(instance.sequence_parallel and self.has_flag("sp")),
        }
        return {name: value for name, value in written.items() if value}

    def lacking_phase(self, instance: Instance) -> str | None:
        """Why the engine cannot run one phase alone."""
        if instance.phase is None or self.serves_phases:
            return None
        return f"there are no instances of {instance.phase} alone"

    def lacking_options(self, instance: Instance) -> Iterator[tuple[str, str]]:
        """Each option that is written and that the engine does not have, with the reason."""
        for name in instance.options:
            if name in self.lacks:
                yield name, f"{self.title} {self.version} does not support `[{name}]`"
        refused = self.refused_layers(instance.layers) if instance.layers else None
        if refused:
            yield "layers", refused
