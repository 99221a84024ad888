"""Priced steps become what a request sees where requests come and go: TPOT under a concurrency.

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

Of an open loop, where nothing limits the requests in flight, as many run at once as Little's law says: λ S, with S
the seconds from admission to the last token, which grow with how many run (`dagc.driver.steady`).

The parts of TPOT, in seconds a decode step; a step yields `tokens_per_step` tokens:

    TPOT = (decode step + prefill interleaved with decode + host + drafts) / tokens_per_step

The decode step is what the GPUs do for the running requests alone: the interval of decode that pictures and traces
draw, whose critical path has the shares of compute, memory, communication and bubble. A static batch without an engine
has no other part.

TPOT is bound by its largest part; where that is the decode step, by what bounds that. A limit that the decode step
alone would keep and TPOT does not is missed because of the largest of the other parts: without these it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.plan.plan import Plan
from dagc.plan.serving import interleaving
from dagc.results.summary import Serving
from dagc.units import format_seconds

if TYPE_CHECKING:
    from dagc.results.summary import Serving


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


def serve(plan: Plan, steps: Steps) -> Serving:
    """What lies between two tokens, from the time of the steps."""
    workload, shapes = plan.facts.workload, plan.facts.model
    host = plan.facts.runtime.host_seconds
    drafts = workload.drafted * steps.decode / (shapes.layers or 1)
    step = steps.decode + host + drafts
    added, often = _prompts(plan, steps, host)
    return Serving(
        concurrency=workload.concurrency,
        running=workload.batch,
        step_seconds=step,
        host_seconds=host,
        draft_seconds=drafts,
        tokens_per_step=workload.tokens_per_step,
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


DECODE_STEP = "decode step"
PREFILL = "prefill interleaved with decode"


@dataclass(frozen=True, slots=True)
class StepPart:
    """Seconds of one cause in each decode step."""

    name: str
    seconds: float

    @property
    def text(self) -> str:
        """`decode step 26 ms`."""
        return f"{self.name} {format_seconds(self.seconds)}"


def step_parts(times: Serving) -> tuple[StepPart, ...]:
    """The parts that take any time, the decode step first; TPOT is their sum over `tokens_per_step`."""
    added = (
        StepPart(PREFILL, times.prompt_steps * times.prompt_step_seconds),
        StepPart("host", times.host_seconds),
        StepPart("drafts", times.draft_seconds),
    )
    drawn = times.step_seconds - times.host_seconds - times.draft_seconds
    return (StepPart(DECODE_STEP, drawn), *(part for part in added if part.seconds > 0))


def token_parts(times: Serving) -> dict[str, float]:
    """The parts by name, in seconds a token: together TPOT."""
    return {part.name: part.seconds / times.tokens_per_step for part in step_parts(times)}


def is_decode_step_alone(times: Serving) -> bool:
    """Whether TPOT is the decode step that pictures draw, and nothing else."""
    return len(step_parts(times)) == 1 and times.tokens_per_step == 1


def sum_text(times: Serving) -> str:
    """`decode step 26 ms + prefill interleaved with decode 6.38 ms + host 400 us`, in brackets over several tokens."""
    parts = step_parts(times)
    joined = " + ".join(part.text for part in parts)
    if times.tokens_per_step == 1:
        return joined
    return f"{f'({joined})' if len(parts) > 1 else joined} / {times.tokens_per_step:.3g} tokens"


_LIMITED = {"bubble": "limited by the pipeline bubble", "none": "no work"}
_BOUND = ("compute", "memory", "communication", "network", "latency")


def bound_text(bound: str) -> str:
    """A bound or a part of TPOT in words: `memory-bound`, `limited by the pipeline bubble`."""
    return f"{bound}-bound" if bound in _BOUND else _LIMITED.get(bound, f"limited by {bound}")


def cause(times: Serving, bound: str) -> str:
    """What TPOT is bound by; `bound` is that of the decode step."""
    largest = max(step_parts(times), key=lambda part: part.seconds)
    return bound if largest.name == DECODE_STEP else largest.name


def breaking_part(times: Serving, missed_seconds: float) -> str | None:
    """What breaks a limit that TPOT exceeds and the decode step alone would keep; None where that misses it too."""
    step, *added = step_parts(times)
    is_kept = step.seconds / times.tokens_per_step <= missed_seconds
    return max(added, key=lambda part: part.seconds).name if added and is_kept else None
