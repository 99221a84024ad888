"""Templates while a phase is lowered, and those that other phases and plans have left.

A template depends on the phase, the layouts and options of its service, the micro-batch, and on how its ranks lie on
nodes; nothing else of a strategy changes it. `LoweringCache` keeps what was built by all of that, for plans of one
model whose workloads differ in the number of sequences alone: a search of many strategies builds few. Only
layers with experts depend on how these are cut, and their attention does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dagc.catalog.model import FfnKind, LayerKind
from dagc.graph.graph import Template
from dagc.lower.builder import TemplateBuilder
from dagc.lower.topology import GroupCache
from dagc.ops.groups import Groups
from dagc.plan.deployment import Phase, Service
from dagc.plan.layout import Layout

Identity = tuple[object, ...]


@dataclass(slots=True)
class LoweringCache:
    """Templates of plans that were lowered before, what layers begin with, and groups of ranks.

    The nodes of one keep the spans of the plan that built them.
    """

    found: dict[Identity, Template] = field(default_factory=dict[Identity, Template])
    mixers: dict[Identity, TemplateBuilder] = field(default_factory=dict[Identity, TemplateBuilder])
    groups: GroupCache = field(default_factory=dict[object, Groups])


def setting(service: Service, phase: Phase) -> Identity:
    """What all templates of a phase of a service depend on, beside the model and the workload."""
    options = service.options
    return (phase, _cut(service.attention_pool.attention), options.sequence_parallel, options.decode_context)


def experts_setting(service: Service) -> Identity:
    """What layers with experts depend on beyond that."""
    pool, options = service.experts_pool, service.options
    shared = options.shared_replicated, options.shared_beside
    return (_cut(pool.experts), pool.role, options.redundant, options.overlap, options.exchange, *shared)


def _cut(layout: Layout | None) -> Identity:
    return () if layout is None else tuple((factor.axis, factor.degree) for factor in layout.factors)


@dataclass(slots=True)
class Templates:
    """Templates of one phase so far, by what they depend on; `setting` is what all of them depend on."""

    known: LoweringCache
    setting: Identity
    built: list[Template] = field(default_factory=list[Template])
    index: dict[Identity, int] = field(default_factory=dict[Identity, int])
    names: dict[str, int] = field(default_factory=dict[str, int])

    def get(self, name: str, identity: Identity, build: Callable[[str], Template]) -> int:
        """The template of this name and identity, built when first asked for; keys are numbered from the second."""
        identity = (name, *identity)
        if identity not in self.index:
            number = self.names[name] = self.names.get(name, 0) + 1
            self.index[identity] = len(self.built)
            self.built.append(self._known(identity, name if number == 1 else f"{name}.{number}", build))
        return self.index[identity]

    def _known(self, identity: Identity, key: str, build: Callable[[str], Template]) -> Template:
        whole = (*self.setting, *identity)
        found = self.known.found.get(whole)
        if found is None:
            found = self.known.found[whole] = build(key)
        return found if found.key == key else replace(found, key=key)


def layer_name(kind: LayerKind) -> str:
    """`moe`, `dense`, or `attention` for a layer of only that; with what its mixer is beside full attention."""
    if kind.mixer is None:
        return str(kind.ffn)
    block = "attention" if kind.ffn is FfnKind.NONE and kind.attention else str(kind.ffn)
    if kind.recurrent:
        mixer = str(kind.recurrent.kind)
        return mixer if kind.ffn is FfnKind.NONE else f"{block}.{mixer}"
    reach = kind.reach
    limits = (("window", reach.window), ("entry", reach.ratio), ("top", reach.top))
    return ".".join((block, *(f"{word}{number}" for word, number in limits if number)))
