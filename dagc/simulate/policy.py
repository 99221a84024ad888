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
    """What it computes, if beside it the others are expected to find room for a share of their output."""


class LoadBalancer(IntEnum):
    """How requests are given to the queues of a service."""

    ROUND_ROBIN = 0
    SHORTEST_QUEUE = 1
    BY_REPLICA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One service: `replicas` of `ranks` (attention dp) that share each step; limits are for one rank.

    `mixes`: prompt tokens and decoded ones share a step of up to `budget` tokens; else prompts have steps of their
    own, of up to `prompt_budget` tokens. A step takes at most `threshold` tokens of one prompt where it `chunks` them.
    `late`: a sequence takes part in one more step after its last token. `ahead`: a step is composed when the one before
    it begins. New requests are received every `poll` decode steps, and after each step of prompts. A step gives each
    sequence `yielded` tokens in units of 1 / `unit`, and computes `drafted` more of each.
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
    late: bool = False
    ahead: bool = False
    poll: int = 1
    yielded: int = 1
    drafted: int = 0
    unit: int = 1
    ratio_first: float = 0.7
    ratio_min: float = 0.098
    ratio_steps: int = 600
    clip: int = 4096
    transfer_base: int = 0
    transfer_token: int = 0
