"""How one service of a deployment schedules its requests, in numbers that the kernel runs by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Reserve(IntEnum):
    """What of the cache a request takes when it is admitted."""

    GROW = 0
    """The tokens that it computes, and more as it grows; where none is left the request admitted last is preempted."""
    WHOLE = 1
    """Its prompt and its output; it is never preempted."""
    ESTIMATE = 2
    """What it computes, if beside it the others are expected to find room for a share of their output.

    Once one is refused no other is tried until a running one leaves (SGLang, `batch_is_full`), unless the service only
    computes prompts.
    """
    LOOKAHEAD = 3
    """As ESTIMATE, but if it and all others have room up to their ends, which are known: SGLang's way where requests
    ignore the end of sequence and there is no prefix cache."""


class Late(IntEnum):
    """What becomes of a sequence that ended in a step, in the step after, which was composed before it was known."""

    NO = 0
    """It left at the end of its last step: one step in flight, so results are known."""
    ROW = 1
    """It is computed once more, the token is dropped: SGLang, TensorRT-LLM 1.1 and 1.2, vLLM where it ends by EOS."""
    SLOT = 2
    """It has its slot and its cache, but is not computed: vLLM 0.14 and later where it ends by length."""


class LoadBalancer(IntEnum):
    """How requests are given to the queues of a service."""

    ROUND_ROBIN = 0
    SHORTEST_QUEUE = 1
    BY_REPLICA = 2
    SHARED_QUEUE = 3
    """Replicas by turns; the ranks of one share a queue, and requests are given to them as steps are composed, so that
    all have as many requests and prompt tokens: TensorRT-LLM with attention dp."""


class FirstToken(IntEnum):
    """When the first token leaves, where prefill and decode are separate services."""

    AFTER_PREFILL = 0
    AFTER_TRANSFER = 1
    AFTER_ADMISSION = 2
    """When decode takes the request: SGLang and TensorRT-LLM under Dynamo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One service: `replicas` of `ranks` (attention dp) that share each step; limits are for one rank.

    `mixes`: prompt tokens and decoded ones share a step of up to `budget` tokens; else prompts have steps of their
    own, of up to `prompt_budget` tokens. A step takes at most `threshold` tokens of one prompt where it `chunks` them.
    `decodes_beside`: a rank without prompts decodes in a step in which another rank has some, else it is idle: SGLang
    without and with drafts (0.5.9, `prepare_mlp_sync_batch`). `ahead`: a step is composed when the one before it
    begins; what enters later is not in it. New requests are received every `poll` decode steps, and after each step
    with prompts (SGLang, `scheduler_recv_interval`).

    `balance`: where steps are mixed, prompts wait until every rank of the replica has one, but for no more than so many
    steps, and only while every rank decodes; 0: they do not wait.

    `prefill_launch`: picoseconds in which the host launches a step with prompts and more than `graph_tokens` tokens a
    rank, kernel by kernel, from the time at which it composes it; the step is not over before. `ahead` the host
    composes the step after it once it is launched and the step before it has ended, and only then puts the tokens of
    that one out.

    `prefill_floor`: picoseconds that a step of prompts alone takes at least.

    A step gives each sequence `yielded` tokens in units of 1 / `unit`, and computes `drafted` more of each.
    """

    replicas: int = 1
    ranks: int = 1
    router: LoadBalancer = LoadBalancer.ROUND_ROBIN
    mixes: bool = True
    chunks: bool = True
    budget: int = 8192
    prompt_budget: int = 16384
    threshold: int = 1 << 30
    most_running: int = 256
    reserve: Reserve = Reserve.GROW
    block: int = 16
    blocks: int = 1 << 20
    decodes_beside: bool = False
    late: Late = Late.NO
    ahead: bool = False
    poll: int = 1
    balance: int = 0
    prefill_launch: int = 0
    graph_tokens: int = 0
    prefill_floor: int = 0
    yielded: int = 1
    drafted: int = 0
    unit: int = 1
    ratio_first: float = 0.7
    ratio_min: float = 0.098
    ratio_steps: int = 600
    clip: int = 4096
    transfer_base: int = 0
    transfer_token: int = 0

    @property
    def most_tokens(self) -> int:
        """Tokens of a step of a rank at most; a longer prompt that it does not chunk has a step of its own."""
        return self.budget if self.mixes else min(self.prompt_budget, self.threshold)
