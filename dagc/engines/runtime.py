"""What an engine does with a plan that prices and memory depend on: its runtime, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import lcm


class LayerSplit(StrEnum):
    """Which stages take one layer more where the layers do not divide."""

    FIRST = "first"
    LAST = "last"
    BEFORE_LAST = "before last"
    EVEN = "even"
    """None: the engine refuses layers that do not divide, unless it is given a layout."""

    def over_stages(self, layers: int, stages: int) -> tuple[int, ...]:
        """Layers of each of `stages` (at least 1); sums to `layers`. EVEN is shown as FIRST, beside the refusal."""
        each, rest = divmod(layers, stages)
        match self:
            case LayerSplit.LAST:
                return (each,) * (stages - rest) + (each + 1,) * rest
            case LayerSplit.BEFORE_LAST if rest:
                return (each,) * (stages - rest - 1) + (each + 1,) * rest + (each,)
            case _:
                return (each + 1,) * rest + (each,) * (stages - rest)


class ExpertExchange(StrEnum):
    """How the tokens of attention-dp ranks come to the ranks of their experts."""

    DEEPEP = "deepep"
    """Each token to the ranks of the experts that it chose, by kernels like DeepEP's; results back the same way."""
    GATHER = "gather"
    """All tokens of the expert group to all its ranks by an all-gather; sums back by a reduce-scatter."""


MACHINE = 8
"""GPUs of one machine at most; a larger NVLink domain spans several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How an engine runs a plan: what prices and memory depend on. The defaults are those of a plan without an engine.

    A sequence's KV cache takes whole blocks of `block_tokens`. The vocabulary is padded so that every rank of tp holds
    as many rows: first to a multiple of `vocab_multiple`, of as many rows on each rank where it is `vocab_by_rank`.
    `memory_share` of a device is what the engine takes for weights, cache and all else; where it `shares_free_memory`
    it takes that share of what weights and a step leave, for the cache alone.

    `mixes`: prompt tokens ride along with decoded ones in one step; else a prompt has steps of its own, and decode
    waits. `host_seconds` is what a step takes beyond its kernels: scheduling, sampling, the launch of the next one.
    Fitted to half of 1,077 serving runs (ai-dynamo/aiconfigurator @ 095f58a5): most of the host's work is done beside
    the GPU's.

    `sums_experts`: where all ranks of an expert group hold the same tokens, none is sent; each computes what its
    experts add to every token, and an all-reduce sums it. `all_reduce` names the engine's own all-reduce of small
    messages inside a node, a regime `all_reduce/NAME` of calibrations; None where that is NCCL's.
    `most_gathered`: ranks of the widest expert group that gathers tokens where a plan names no exchange; wider ones
    dispatch them. None: any number where NVLink connects one machine, none where it connects several.
    `fixes_dispatch`: an instance has the same kernels of DeepEP in all steps, those of low latency where it decodes
    only, and one for both phases gathers at any width where a plan names no exchange; else steps with prompts have the
    kernels of high throughput, and the others those of low latency.
    `holds_pairs`: kernels for experts without an exchange keep room for every pair of a token and an expert, and bring
    those of other ranks along between the products. `lays_rows`: DeepGEMM's kernels compute the rows of a dispatch.
    `merges_shared`: in decode shared experts are one more expert of the grouped product, or run beside it on a stream
    of their own: they add bytes and arithmetic to it, and no launches.
    `fuses_latents`: one matrix product makes the latent of queries and that of the cache, as both have one input.
    `tunes_expert_shards`: the kernel for experts without block scales has tuned tiles on ranks that hold a part of
    the experts.
    """

    layer_split: LayerSplit = LayerSplit.FIRST
    block_tokens: int = 16
    vocab_multiple: int = 1
    vocab_by_rank: bool = False
    memory_share: float = 1.0
    shares_free_memory: bool = False
    mixes: bool = True
    host_seconds: float = 0.0
    fuses_latents: bool = False
    sums_experts: bool = False
    most_gathered: int | None = 0
    holds_pairs: bool = False
    lays_rows: bool = True
    fixes_dispatch: bool = False
    merges_shared: bool = False
    all_reduce: str | None = "custom"
    tunes_expert_shards: bool = True

    def has_low_latency(self, *, is_both: bool) -> bool:
        """Whether steps without prompts dispatch by kernels of low latency, in an instance for both phases or not."""
        return not (self.fixes_dispatch and is_both)

    def exchange(
        self, ranks: int, domain: int, written: ExpertExchange | None = None, *, is_both: bool
    ) -> ExpertExchange:
        """The exchange of an expert group of so many ranks, in an instance for both phases or not.

        `domain` is the number of GPUs that NVLink connects.
        """
        if written is not None:
            return written
        fits = domain <= MACHINE if self.most_gathered is None else ranks <= self.most_gathered
        return ExpertExchange.GATHER if fits or not self.has_low_latency(is_both=is_both) else ExpertExchange.DEEPEP

    def vocabulary_rows(self, vocab: int, tp: int) -> int:
        """Rows of the embedding, or of the head, that each of `tp` ranks holds, its share of the padding included."""
        multiple = self.vocab_multiple * tp if self.vocab_by_rank else lcm(self.vocab_multiple, tp)
        return rounded_up(vocab, multiple) // tp


NO_ENGINE = Runtime()
"""How a plan runs that names no engine."""


def rounded_up(number: int, multiple: int) -> int:
    """The smallest multiple that is at least `number`."""
    return -(-number // multiple) * multiple
