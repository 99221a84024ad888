"""What takes the time between two tokens of a request: the parts of TPOT, and which of them breaks a limit.

The parts are those of the formula in `dagc.report.serving`, in seconds a decode step; a step yields `tokens_per_step`:

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

from dagc.units import format_seconds

if TYPE_CHECKING:
    from dagc.report.summary import Serving

DECODE_STEP = "decode step"
PREFILL = "prefill interleaved with decode"


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of one cause in each decode step."""

    name: str
    seconds: float

    @property
    def text(self) -> str:
        """`decode step 26 ms`."""
        return f"{self.name} {format_seconds(self.seconds)}"


def step_parts(times: Serving) -> tuple[Part, ...]:
    """The parts that take any time, the decode step first; TPOT is their sum over `tokens_per_step`."""
    added = (
        Part(PREFILL, times.prompt_steps * times.prompt_step_seconds),
        Part("host", times.host_seconds),
        Part("drafts", times.draft_seconds),
    )
    drawn = times.step_seconds - times.host_seconds - times.draft_seconds
    return (Part(DECODE_STEP, drawn), *(part for part in added if part.seconds > 0))


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
