"""Megatron-Core.

`world = tp × cp × pp × dp`, with dp what the number of ranks leaves over; the experts cut the same ranks again as
`etp × ep × edp × pp`. Without `--expert-tensor-parallel-size` the experts' tp is tp. It is a library: scripts built
on it take these arguments, and checkpoints in its own format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import lcm

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Counted, Engine, ExpertSplit, Reference
from dagc.engines.flags import Flag, Settings, write_flags
from dagc.engines.instance import Command, Host, Instance
from dagc.engines.runtime import LayerSplit, Runtime


class Megatron(Engine):
    """How Megatron-Core counts, and the arguments of its scripts."""

    def settings_of_degrees(self, degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
        """All degrees but ep give the number of ranks."""
        tp, pp, dp, ep, cp = (degrees.get(axis, 1) for axis in ("tp", "pp", "dp", "ep", "cp"))
        settings = {"tp": tp, "pp": pp, "cp": cp, "ep": ep, "world": tp * cp * pp * dp}
        return ({**settings, "etp": degrees["etp"]} if "etp" in degrees else settings), ()

    def sizes_of(self, settings: Settings) -> Counted:
        """Refused where the ranks are no multiple of either cut. Without their number, the fewest that will do."""
        tp, pp, cp, ep = (settings.get(axis, 1) for axis in ("tp", "pp", "cp", "ep"))
        etp = settings.get("etp", tp)
        fewest = pp * lcm(tp * cp, etp * ep)
        world = settings.get("world") or settings.get("node", 0) * settings.get("nodes", 1) or fewest
        if world % (tp * cp * pp):
            return Counted.refused(f"the {world} ranks are no multiple of tp {tp} × cp {cp} × pp {pp} = {tp * cp * pp}")
        if world % (etp * ep * pp):
            return Counted.refused(
                f"the {world} ranks are no multiple of the experts' tp {etp} × ep {ep} × pp {pp} = {etp * ep * pp}"
            )
        attention = Degrees(tp=tp, cp=cp, dp=world // (tp * cp * pp))
        experts = Degrees(tp=etp, ep=ep, dp=world // (etp * ep * pp))
        steps = (
            f"GPUs = tp {tp} × cp {cp} × pp {pp} × dp {attention.dp} = {world}",
            f"the experts on the same ranks: tp {etp} × ep {ep} × dp {experts.dp} × pp {pp} = {world}",
        )
        return Counted(Parallelism(attention, experts, pp), steps)

    def settings_of(self, sizes: Parallelism) -> Settings | str:
        """Megatron-Core takes any two cuts of the same ranks."""
        attention, experts = sizes.attention, sizes.experts
        settings = {"tp": attention.tp, "pp": sizes.stages, "cp": attention.cp, "world": sizes.gpus_per_replica}
        return settings if experts is None else {**settings, "ep": experts.ep, "etp": experts.tp}

    def refused_layers(self, layers: tuple[int, ...]) -> str | None:
        """The stages between the first and the last share the rest evenly."""
        if len(set(layers[1:-1])) <= 1:
            return None
        return f"{self.title} supports one layer count for the first stage, one for the last, one for all between"

    def command(self, instance: Instance, settings: Settings, host: Host) -> Command:
        """Arguments of a script, on every node of an instance: torchrun's flags go before the script."""
        nodes, layers = host.nodes(instance), instance.layers
        ranks = {"nodes": nodes, "node": instance.sizes.gpus_per_replica // nodes}
        others: tuple[str, ...] = ()
        if layers and len(set(layers)) > 1:
            first, last = "--decoder-first-pipeline-num-layers", "--decoder-last-pipeline-num-layers"
            others = (first, str(layers[0]), last, str(layers[-1]))
        address = ("--node-rank", "$NODE", "--master-addr", "$HEAD") if nodes > 1 else ()
        return Command(
            program=("torchrun", *write_flags(self.flags, ranks), *address, "$SCRIPT"),
            flags=write_flags(self.flags, settings),
            others=others,
            nodes=nodes,
            gpus=ranks["node"],
        )


_V0_12 = Megatron(
    name="megatron",
    title="Megatron-Core",
    version="0.12.0",
    order=4,
    repository="https://github.com/NVIDIA/Megatron-LM",
    references=(
        Reference(
            "megatron/core/parallel_state.py",
            "00caa53af30912914981c86f39db123961678bbd",
            "ranks numbered pp, dp, cp, tp, innermost last; the experts over the same ranks",
        ),
        Reference(
            "megatron/training/arguments.py", "307dcf37f03d44da131ba21999278abe4112d2ad", "arguments and their checks"
        ),
    ),
    programs=("pretrain", "megatron"),
    numbering=("pp", "dp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    runtime=Runtime(
        lays_rows=False,
        layer_split=LayerSplit.EVEN,
        block_tokens=256,  # of dynamic batching
        vocab_multiple=128,  # `make_vocab_size_divisible_by`
        vocab_by_rank=True,
        memory_share=0.9,
        mixes=True,
        host_seconds=0.0,  # not measured
        all_reduce=None,
    ),
    expert_split=ExpertSplit.EVEN,
    flags=(
        Flag("--nnodes", "nodes", default=0),
        Flag("--nproc-per-node", "node", default=0),
        Flag("--tensor-model-parallel-size", "tp"),
        Flag("--pipeline-model-parallel-size", "pp"),
        Flag("--context-parallel-size", "cp"),
        Flag("--expert-model-parallel-size", "ep"),
        Flag("--expert-tensor-parallel-size", "etp", default=0),
        Flag("--sequence-parallel", "sp", is_switch=True),
    ),
    lacks=frozenset({"redundant", "overlap", "dcp", "exchange"}),
    rules=frozenset(
        {
            "megatron-layers-uneven",
            "megatron-experts-uneven",
            "megatron-prompt-not-in-parts",
            "megatron-query-groups",
        }
    ),
    serves_phases=False,
    is_server=False,
)

_V0_16 = replace(
    _V0_12,
    version="0.16.1",
    references=(
        Reference("megatron/core/parallel_state.py", "core_v0.16.1", "ranks numbered pp, dp, cp, tp, innermost last"),
        Reference("megatron/core/transformer/moe/moe_layer.py", "core_v0.16.1", "tp without sp runs in inference"),
    ),
)

VERSIONS = (_V0_12, _V0_16)
