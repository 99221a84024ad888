"""One running instance of an engine: what a plan asks of it, where it runs, and the command that starts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dagc.degrees import Parallelism

SETTINGS_FILE, ROUTER_FILE = "settings.yaml", "router.yaml"
ROUTER_PORT = 8080
"""Where a router listens: another than any server's, as both may run on one node."""


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """What a priced plan fixes of an instance beside its sizes; None and 0 leave it to the engine.

    `context` are the tokens of the longest prompt and its output, `sequences` those that one rank of attention dp runs
    at once, `chunk` the prompt tokens that it computes at once. `splits_prompts` into chunks; else `unsplit` are the
    tokens that a step has room for at least. `memory_share` of a device is for
    weights, cache and all else. `cache_dtype` and `quantisation` are a `Dtype`'s word; a quantisation is given where
    the checkpoint does not have it yet. `drafts` are tokens guessed ahead in a step, by the model's own layers where
    `has_draft_layers`.
    """

    context: int = 0
    sequences: int = 0
    chunk: int = 0
    splits_prompts: bool = False
    unsplit: int = 0
    memory_share: float = 0.0
    cache_dtype: str = ""
    quantisation: str = ""
    drafts: int = 0
    has_draft_layers: bool = False
    prefix_cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One service of a strategy as an engine runs it; `sizes.replicas` says how many equal instances there are.

    `phase` is `prefill` or `decode` where the other has its own instances. `layers` are those of each stage where they
    were written, `redundant` the expert slots beyond `experts`, the model's (None: unknown or none). `overlap` is 2
    where two halves of a micro-batch hide each other's communication. `exchange` is `gather` or `deepep` where it was
    written. `dense_ffn` is the width of dense layers, 0 where all layers have experts; `is_sparse`: attention selects
    which tokens it reads.
    """

    sizes: Parallelism
    phase: str | None = None
    layers: tuple[int, ...] | None = None
    redundant: int = 0
    experts: int | None = None
    overlap: int = 1
    decode_context: int = 1
    sequence_parallel: bool = False
    exchange: str | None = None
    dense_ffn: int = 0
    is_sparse: bool = False
    serving: ServingSettings = field(default_factory=ServingSettings)

    @property
    def step_tokens(self) -> int:
        """Tokens of a rank in a step that has prompts and decoded tokens.

        Those of a chunk, and one of each sequence and draft at least; in decode alone no more, and buffers of DeepEP
        are as large.
        """
        serving = self.serving
        tokens = serving.sequences * (1 + serving.drafts)
        return tokens if self.phase == "decode" and tokens else max(serving.chunk, tokens, serving.unsplit)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that not every engine has, as far as they are written."""
        written = {
            "layers": bool(self.layers),
            "redundant": self.redundant > 0,
            "overlap": self.overlap > 1,
            "dcp": self.decode_context > 1,
            "exchange": self.exchange is not None,
        }
        return tuple(name for name, is_written in written.items() if is_written)

    @property
    def exchanges_tokens(self) -> bool:
        """Whether tokens are sent to the ranks of their experts: ranks of attention dp hold different ones."""
        experts = self.sizes.experts
        return experts is not None and experts.ep > 1 and self.sizes.attention.dp > 1


@dataclass(frozen=True, slots=True)
class Host:
    """Where an instance runs: the model's name or path, GPUs of a machine, and of the NVLink domain that it is in."""

    model: str
    gpus_per_node: int
    domain: int

    def nodes(self, instance: Instance, block: int = 1) -> int:
        """Nodes of an instance, each with as many of its GPUs: the fewest on which blocks of ranks stay whole.

        A block is whole where a node has some of them and no part of another, or some nodes have one.
        """
        gpus = instance.sizes.gpus_per_replica
        each = range(min(self.gpus_per_node, gpus), 0, -1)
        return gpus // next(n for n in each if gpus % n == 0 and (n % block == 0 or block % n == 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The command that starts one instance, run on each of `nodes` nodes with `gpus` each.

    `flags` are those of parallelism, which `Engine.read` reads back; `others` what a plan fixes beside them; `placed`
    puts ranks on nodes, with `$HEAD` for the address of the first node and `$NODE` for the number of a node. `workers`
    are the tokens that nodes after the first have beside these. `file` is a settings file as nested mappings, written
    beside the command. `head_first` runs on the first node before, `workers_only` on the others in its place.
    `ranks_by_mpi` are started from the first node by MPI, as many on each; 0: every node starts its own.
    """

    program: tuple[str, ...]
    flags: tuple[str, ...]
    others: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    file: tuple[tuple[str, Any], ...] = ()
    nodes: int = 1
    gpus: int = 1
    workers: tuple[str, ...] = ()
    head_first: tuple[str, ...] = ()
    workers_only: tuple[str, ...] = ()
    ranks_by_mpi: int = 0

    @property
    def tokens(self) -> tuple[str, ...]:
        """Program and flags of the first node, without the environment."""
        return (*self.program, *self.flags, *self.others, *self.placed)

    @property
    def worker_tokens(self) -> tuple[str, ...]:
        """Those of the other nodes; none where the first starts all ranks."""
        if self.ranks_by_mpi:
            return ()
        return self.workers_only or (*self.tokens, *self.workers)


@dataclass(frozen=True, slots=True)
class FrontRouter:
    """What takes requests and sends them to the instances of prefill and of decode.

    `file` is its settings file, which `program` names.
    """

    program: tuple[str, ...]
    file: tuple[tuple[str, Any], ...] = ()


def layer_partition(variable: str, instance: Instance) -> tuple[tuple[str, str], ...]:
    """The layers of each stage as an environment variable; none where they were not written."""
    return ((variable, ",".join(map(str, instance.layers))),) if instance.layers else ()
