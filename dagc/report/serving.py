"""Priced steps become what a request sees where requests come and go: TPOT under a concurrency, and queues.

The interval between two tokens of a request, with s the time of a decode step and y the tokens that it yields:

    TPOT = (s + w · x + drafts) / y        w = others · y / (output · prompts)

x is what a step with prompts adds: the mixed step less s, or the prefill of one prompt where the engine keeps steps
apart. Over the `output` / y steps of a request each of the `others` on its ranks has its prompt computed once,
`prompts` at a time, so that w is the mean number of such steps for each of its own. Mixed steps cannot be more than
all: w is at most 1 there, and beyond it requests wait for their prompts.

Requests that start together end together where they are alike, and the next ones start together: of a wave of n
prompts, b of which fit into a step, a request waits between its tokens for those behind its own step, (n - b) / 2 on
average; for the others it has waited before its first token. What pulls waves apart is a time d, `SPREAD` of a
request's decode steps, against the time p of one step's prompts: of the two ways to wait, waves have p / (d + p).

A draft is made by a module of one layer for each drafted token (as multi-token prediction and EAGLE have it), so it
costs the decode step over the number of layers. The host's time a step is the engine's.

Queues, where an arrival rate λ is stated. Of the places c that run at once, each holds a request from its admission to
its last token, S seconds; utilisation is λ S / c. Waiting for a place is M/M/c with its probability by Erlang's C
formula, and half as long since S hardly varies (Allen-Cunneen): P(W > t) = C exp(-2 (c/S - λ) t). Waiting for other
prompts is the same with a place for each replica and the time of a prefill. Quantiles of TTFT are the prefill and the
quantiles of both waits, added: they do not fall together, so that p99 errs to the long side. Against a simulation of
the same queues, 50 to 90 % in use, p99 is up to a third too long, and p50 up to a third too short.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from dagc.plan.plan import Plan
from dagc.plan.serving import interleaving

SPREAD = {True: 0.2, False: 0.01}
"""How far ends of requests lie apart, as a share of the time in which one is decoded: where prompts ride along in
decode steps, and where they have steps of their own, which line requests up.

Fitted to half of 1,077 serving runs (ai-dynamo/aiconfigurator @ 095f58a5), without 90 that look like a prefix cache or
drafts. There the time to a first token is 1.1 times half of all prompts in flight where steps are apart, as in whole
waves, and 0.4 to 0.5 times where prompts ride along."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds of the steps of a deployment: of prefill, of decode, of a decode step with prompts where they mix."""

    prefill: float
    decode: float
    mixed: float | None


@dataclass(frozen=True, slots=True)
class Queue:
    """Arrivals against places. Quantiles of TTFT are None where the rate is more than the deployment can serve."""

    requests_per_second: float
    utilisation: float
    prefill_utilisation: float
    ttft_p50_seconds: float | None
    ttft_p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class Serving:
    """What lies between two tokens of a request. `concurrency` None: a static batch. `running` requests are decoded at
    once: a cache that is full lets no more in.

    `step_seconds` is a decode step with the host's time and drafts, `prompt_step_seconds` what prompts add to one, and
    `prompt_steps` the mean number of those for each.
    """

    concurrency: int | None
    running: int
    tpot_seconds: float
    step_seconds: float
    host_seconds: float
    draft_seconds: float
    tokens_per_step: float
    prompt_step_seconds: float
    prompt_steps: float


def serve(plan: Plan, steps: Steps) -> Serving:
    """The interval between tokens from the time of the steps."""
    workload, shapes = plan.facts.workload, plan.facts.model
    host = plan.facts.runtime.host_seconds
    drafts = workload.drafted * steps.decode / (shapes.layers or 1)
    step = steps.decode + host + drafts
    added, often = _prompts(plan, steps, host)
    produced = workload.tokens_per_step
    return Serving(
        concurrency=workload.concurrency,
        running=workload.batch,
        tpot_seconds=(step + often * added) / produced,
        step_seconds=step,
        host_seconds=host,
        draft_seconds=drafts,
        tokens_per_step=produced,
        prompt_step_seconds=added,
        prompt_steps=often,
    )


def _prompts(plan: Plan, steps: Steps, host: float) -> tuple[float, float]:
    """What a step with prompts adds, and how many there are for each decode step."""
    found, workload = interleaving(plan), plan.facts.workload
    if found is None or not found.others or (found.mixes and steps.mixed is None):
        return 0.0, 0.0
    decoding = workload.output / workload.tokens_per_step
    fitting = min(max(1.0, workload.chunk / workload.fresh), found.others + 1)
    if found.mixes:
        added, together = max(0.0, (steps.mixed or 0.0) - steps.decode), found.prompts
    else:
        added, together = steps.prefill + host, 1.0
    batch = fitting * added / together
    spread = SPREAD[found.mixes] * decoding * (steps.decode + host)
    waves = batch / (spread + batch) if batch else 0.0
    waiting = waves * (found.others + 1 - fitting) / 2 + (1 - waves) * found.others
    often = waiting / (decoding * together)
    return added, min(1.0, often) if found.mixes else often


def queue(plan: Plan, ttft: float, tpot: float, prefill: float | None = None) -> Queue | None:
    """Waits at the stated arrival rate; None without one. `prefill` is what a prompt takes of its replica: TTFT, less
    the transfer of the cache where that is part of it.
    """
    workload = plan.facts.workload
    rate, places = workload.requests_per_second, workload.batch
    if rate is None:
        return None
    held = ttft + (workload.output - 1) * tpot
    computing = ttft if prefill is None else prefill
    servers = min(places, plan.deployment.replicas * plan.deployment.services[0].replicas)
    waits = [_wait(rate, held, places, share) for share in (0.5, 0.99)]
    prompts = [_wait(rate, computing, servers, share) for share in (0.5, 0.99)]
    p50, p99 = (
        None if place is None or prompt is None else ttft + place + prompt
        for place, prompt in zip(waits, prompts, strict=True)
    )
    return Queue(rate, rate * held / places, rate * computing / servers, p50, p99)


def _wait(rate: float, held: float, places: int, share: float) -> float | None:
    """The quantile of the wait for one of so many places; None where the queue grows without end."""
    load = rate * held
    if load >= places:
        return None
    waiting = _erlang_c(places, load)
    if waiting <= 1 - share:
        return 0.0
    return log(waiting / (1 - share)) / (2 * (places / held - rate))


def _erlang_c(places: int, load: float) -> float:
    """Probability that all places are taken (Erlang, 1917), from the recursion of his B formula."""
    blocked = 1.0
    for place in range(1, places + 1):
        blocked = load * blocked / (place + load * blocked)
    return blocked / (1 - (load / places) * (1 - blocked))
