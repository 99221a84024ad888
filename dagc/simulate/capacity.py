"""What the memory of an attention rank holds of requests: blocks of KV cache, and how many run at once.

An engine takes a share of each device, and of that what weights, activations, buffers and its reserve leave is cache,
in blocks of `block` tokens. All stages of a pipeline and all ranks of tp and cp keep a part of the same sequences, so a
rank of attention dp has as many blocks as the one of these with least room. Where cp or dcp cut a sequence, a block of
each of its ranks together holds as many times the tokens.

Layers with a window, a state or compressed entries keep no more of a longer sequence: there a sequence of the
workload's length counts as blocks of all its tokens, so that as many of that length fit as do in fact.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.cost.admission import cache_room, whole_room
from dagc.cost.cache import cache_parts, capacity_tokens
from dagc.cost.holding import Holding
from dagc.cost.memory import PoolMemory
from dagc.degrees import AxisKind
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.simulate.policy import Policy
from dagc.units import format_bytes

_MOST_BLOCKS = float(2**31 - 1)


@dataclass(frozen=True, slots=True)
class CacheCapacity:
    """Blocks of KV cache of one rank of attention dp, of `block_tokens` each, in `free_bytes` of its fullest GPU."""

    blocks: int
    block_tokens: int
    free_bytes: float

    @property
    def tokens(self) -> int:
        """Tokens of sequences that fit."""
        return self.blocks * self.block_tokens


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that no cache of a service ever has room for, as a diagnostic says it."""

    index: int
    prompt: int
    output: int
    needed_blocks: int
    capacity: CacheCapacity

    @property
    def message(self) -> str:
        """What does not fit, with numbers."""
        tokens = f"{self.prompt:,} tokens of prompt and {self.output:,} of output"
        return f"request {self.index + 1} does not fit into the KV cache: {tokens} need {self.needed_blocks:,} blocks"

    @property
    def reason(self) -> str:
        """What there is."""
        held = self.capacity
        free = format_bytes(held.free_bytes)
        return f"a rank has {held.blocks:,} blocks of {held.block_tokens} tokens, {held.tokens:,} tokens, in {free}"

    @property
    def help(self) -> str:
        """The way out."""
        return (
            "use shorter requests, a KV cache of fewer bytes, or more GPUs for each copy of the attention (tp, pp, cp)"
        )


@dataclass(frozen=True, slots=True)
class RefusedPrompt:
    """A request whose prompt no step has room for, on an engine that does not split prompts."""

    index: int
    tokens: int
    budget: int

    @property
    def message(self) -> str:
        """What does not fit, with numbers."""
        return (
            f"request {self.index + 1} does not fit into a step: {self.tokens:,} tokens of prompt are computed at once"
        )

    @property
    def reason(self) -> str:
        """What there is."""
        return f"a step has at most {self.budget:,} tokens, and prompts are not split"

    @property
    def help(self) -> str:
        """The way out."""
        return (
            "raise the token budget of a step, let the engine split prompts (chunked prefill), or use shorter prompts"
        )


def cache_capacity(plan: Plan, service: Service, memory: tuple[PoolMemory, ...]) -> CacheCapacity:
    """Blocks of cache of an attention rank of a service. Raises ValueError without shapes."""
    shapes, pool = plan.facts.model.shapes(), service.attention_pool
    if shapes is None or pool.attention is None:
        raise ValueError("a cache needs a model with shapes, and a pool that computes attention")
    holding = Holding(plan, shapes, service, pool)
    held = next(one for one in memory if one.pool == pool.name)
    first = pool.attention.coordinate(AxisKind.DP) == 0
    block = holding.block * cache_parts(holding)
    found = CacheCapacity(0, block, 0.0)
    # As in admission a request runs on each rank in any case.
    for room in (cache_room(plan, held), whole_room(held)):
        # Widened to all ranks: parts have one column where ranks are alike.
        free = holding.zeros() + room
        tokens = capacity_tokens(holding, free)[:, first].min()
        blocks = int(min(tokens // block, _MOST_BLOCKS))
        found = CacheCapacity(blocks, block, max(0.0, float(free[:, first].min())))
        if blocks:
            break
    return found


def refused(index: int, prompt: int, output: int, capacity: CacheCapacity, drafted: int = 0) -> RefusedRequest | None:
    """Why a request can never run to its end: it needs more blocks than a rank has; None where it fits."""
    needed = -(-(prompt + output + drafted) // capacity.block_tokens)
    return RefusedRequest(index, prompt, output, needed, capacity) if needed > capacity.blocks else None


def refused_prompt(index: int, tokens: int, policy: Policy) -> RefusedPrompt | None:
    """Why a prompt of which so many tokens are not cached is never computed; None where it is.

    Prompts that have steps of their own have one of any length.
    """
    most = min(policy.budget, policy.threshold)
    return RefusedPrompt(index, tokens, most) if policy.mixes and not policy.chunks and tokens > most else None
