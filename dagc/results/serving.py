"""Priced steps become what a request sees where requests come and go: TPOT under a concurrency.

The interval between two tokens of a request, with s the time of a decode step and y the tokens that it yields:

    TPOT = (s + w · x + drafts) / y

x is what a step with prompts adds: the mixed step less s, or all of it where the engine keeps steps apart. w is how
many there are for each of the request's own steps. Both follow from how the engine composes steps and from how the
ends of requests lie, in waves or evenly (`dagc.plan.interleaving`, `dagc.results.prompt_steps`): over the (output - 1)
/ y steps of a request each of the others on its ranks has its prompt computed once, together with those of the same
step. Mixed steps cannot be more than all: w is at most 1 there, and beyond it requests wait for their prompts.

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

from dagc.plan.plan import Plan
from dagc.results.summary import Serving
from dagc.units import format_seconds


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds of the steps of a deployment: of prefill, of decode, of the step with prompts that come in between."""

    prefill: float
    decode: float
    prompts: float | None


def serve(plan: Plan, steps: Steps) -> Serving:
    """What lies between two tokens, from the time of the steps."""
    workload, shapes = plan.facts.workload, plan.facts.model
    host = plan.facts.runtime.host_seconds
    drafts = workload.drafted * steps.decode / (shapes.layers or 1)
    step = steps.decode + host + drafts
    added, often = _prompts(plan, steps, step)
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


def _prompts(plan: Plan, steps: Steps, step: float) -> tuple[float, float]:
    """What a step with prompts adds, in seconds, and how many there are for each decode step."""
    if steps.prompts is None:
        return 0.0, 0.0
    from dagc.plan.interleaving import interleaving
    from dagc.plan.step_limits import server_overhead
    from dagc.results.prompt_steps import PromptTimes, prompt_steps

    found = interleaving(plan)
    if found is None:
        return 0.0, 0.0
    workload, overhead = plan.facts.workload, server_overhead(plan)
    host, drafts = plan.facts.runtime.host_seconds, workload.drafted / (plan.facts.model.layers or 1)
    mixed = max(0.0, steps.prompts - steps.decode) * (1 + drafts)
    times = PromptTimes(
        decode=step,
        one=steps.prefill + host,
        added=mixed if found.limits.mixes else steps.prompts + host,
        launch=overhead.prefill_launch_seconds,
        entry=overhead.entry(workload.prompt),
    )
    return prompt_steps(found, times)


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
