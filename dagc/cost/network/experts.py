"""Dispatch of tokens to experts and combine of their results, by kernels like DeepEP's.

A token goes to `top` experts; what is sent of it for one of them is a row. n ranks on k nodes, l of them in a node, T
tokens a rank. The ranks of a group end together, when the busiest has all: `fullest` is the largest of what a rank
sends or receives as a multiple of the mean. Under skewed routing that is the rank of the most popular experts.

Low latency: one row a choice, straight to the expert's rank, over the link inside a node and by RDMA across:

    τ        = fullest · T · top · row · max((l-1)/n / (share · link),  (n-l)/n / (network_share · network))
    latency  = launch + log2(k) · hop

Normal: a row a node over the network, to the rank of the same number there, which forwards it to each rank of its node
that needs it. With choices at random a token reaches D(r) = r (1 - (1 - 1/r)^top) of r equal places, so

    far      = D(nodes) (k-1)/k          rows a token sends over the network
    near     = D(ranks)                  rows over links, what a rank keeps included
    τ        = fullest · T row · joined(far / (network_share · network),  near (l-1)/l / (share · link),
                                        (near + far) / (sms · sm_rate))
    latency  = launch + log2(k) · hop

The three limits are adapters, links, and what `sms` streaming multiprocessors copy, at `sm_rate` bytes/s each (inside
one node `sm_rate_inside`); `joined` is the slowest, somewhat more where two are about as slow. Routing limited to few
groups of experts reaches only the nodes that those lie on: r is then at most so many. On more than `calm_nodes` nodes
the network's share is `contended_share`, where measurements show that many senders to one node hold each other up. A
rank f times as popular as the mean gets a token with chance 1 - (1 - f/n)^top, so normal kernels feel skew less.

Sources: the kernels of deepseek-ai/DeepEP @ dd758caf; routing limited to nodes in the DeepSeek-V3 report (2024),
section 2.1.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dagc.cost.network.terms import ByGroup, Coefficients, Spread, Terms, Wires, joined

SMS = 20.0
"""Streaming multiprocessors of normal kernels where nothing else is known: what DeepEP takes unless told otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What groups exchange: mean bytes of all rows of a rank, choices a token, nodes that its choices lie on at most.

    `source` and `target` are by group (and copy) what the busiest rank has as a multiple of the mean, on the side of
    the tokens and on that of the experts.
    """

    load: ByGroup
    top: int
    nodes: ByGroup
    source: ByGroup
    target: ByGroup


TokenFormula = Callable[[Coefficients, Tokens, Spread, Wires], Terms]
"""Coefficients, tokens, spread and wires to seconds."""


def low_latency(given: Coefficients, tokens: Tokens, spread: Spread, wires: Wires) -> Terms:
    """Low-latency kernels: rows by RDMA, straight to their rank."""
    near = (spread.local - 1) / spread.size / (given["share"] * wires.link)
    far = (spread.size - spread.local) / spread.size / (given["network_share"] * wires.network)
    latency = given["launch"] + np.log2(spread.nodes) * given["hop"]
    fullest = np.maximum(tokens.source, tokens.target)
    return Terms(fullest * tokens.load * np.maximum(near, far), latency)


def normal(given: Coefficients, tokens: Tokens, spread: Spread, wires: Wires) -> Terms:
    """Normal kernels: a row a node, forwarded inside it."""
    reached = np.minimum(spread.nodes, tokens.nodes)
    far = distinct(reached, tokens.top) * (spread.nodes - 1) / spread.nodes
    near = distinct(reached * spread.local, tokens.top)
    rows = np.maximum(tokens.source, _merged(tokens, spread.size)) * tokens.load / tokens.top
    calm = spread.nodes <= given.get("calm_nodes", np.inf)
    reachable = np.where(calm, given["network_share"], given.get("contended_share", 1.0))
    limits = [far / (reachable * wires.network)]
    limits.append(near * (spread.local - 1) / spread.local / (given["share"] * wires.link))
    if "sm_rate" in given:
        rate = np.where(spread.nodes > 1, given["sm_rate"], given["sm_rate_inside"])
        limits.append((near + far) / (given.get("sms", SMS) * rate))
    return Terms(rows * joined(*limits), given["launch"] + np.log2(spread.nodes) * given["hop"])


def _merged(tokens: Tokens, ranks: ByGroup) -> ByGroup:
    """Distinct tokens that reach the most popular rank, as a multiple of the mean."""
    chance = np.minimum(tokens.target / ranks, 1.0)
    return (1.0 - (1.0 - chance) ** tokens.top) / (1.0 - (1.0 - 1.0 / ranks) ** tokens.top)


def distinct(places: ByGroup, top: int) -> ByGroup:
    """How many of so many equal places `top` choices at random reach: expected occupancy."""
    return places * (1.0 - (1.0 - 1.0 / np.maximum(places, 1.0)) ** top)
