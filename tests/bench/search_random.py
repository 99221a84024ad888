"""Random strategies against the best of a search: `python -m tests.bench.search_random [SECONDS] [NAME...]`.

For each of the questions of `tests/data/questions`, strategies on all of its GPUs are drawn from the
forms of the grammar (`tests.harness.grammar`: nestings in any order, scopes, folds, pipelines and replicas around them,
prefill beside decode) and priced, for so many of the processor's seconds (120). Degrees are divisors drawn at random;
nothing here knows how the search enumerates or bounds. Printed are how many were drawn, how many compile and fit, how
many meet the requirements (none where the search has no answer), the best of these, and how much better or worse it is
than the best of the search.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from dagc.driver.front import read_plan
from dagc.driver.pricing import Judge, judge_of
from dagc.driver.search import SearchOptions, search
from dagc.metrics import OBJECTIVES, THROUGHPUT_PER_GPU
from dagc.search import budget
from dagc.source import Source
from tests.bench.search_questions import QUESTIONS
from tests.harness.grammar import AXES, MOST_NESTED, with_options

SEED = 24


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]


def _nest(random: Random, gpus: int, axes: Sequence[str], most: int = MOST_NESTED) -> str:
    """Axes inside each other with so many GPUs, each of degree 2 or more."""
    if gpus == 1:
        return "tp 1"
    degree = gpus if most == 1 else random.choice(_divisors(gpus)[1:])
    axis = random.choice(axes)
    return f"{axis} {degree}" + (f" < {_nest(random, gpus // degree, axes, most - 1)} >" if degree < gpus else "")


def _stage(random: Random, gpus: int) -> str:
    """A nesting, one in a scope, or a fold of two branches of which one takes all GPUs."""
    form = random.randrange(4)
    if form == 0:
        return _nest(random, gpus, AXES)
    if form == 1:
        return f"{random.choice(('attn', 'moe'))} < {_nest(random, gpus, ('dp', 'cp', 'tp', 'ep'))} >"
    other = random.choice(_divisors(gpus))
    first, last = (gpus, other) if form == 2 else (other, gpus)
    experts = _nest(random, first, ("ep", "tp", "dp"))
    experts = experts if first > 1 and experts.startswith("ep") else f"moe < {experts} >" if first > 1 else "ep 1"
    return f"{experts} ; {_nest(random, last, ('dp', 'cp', 'tp'))}"


def _service(random: Random, gpus: int) -> str:
    outer = random.choice(["", "dp", "pp", "dp pp"]).split()
    text, closing = "", ""
    for axis in outer:
        degree = random.choice(_divisors(gpus))
        if 1 < degree < gpus:
            text, closing, gpus = f"{text}{axis} {degree} < ", f"{closing} >", gpus // degree
    return f"{text}{_stage(random, gpus)}{closing}"


def _drawn(random: Random, gpus: int, sequences: int) -> str:
    """A strategy on so many GPUs: one service, or in three of four cases two."""

    def one(size: int) -> str:
        return random.choice(list(with_options(_service(random, size), sequences)))

    if gpus == 1 or random.randrange(4) == 0:
        return one(gpus)
    first = random.randrange(1, gpus)
    return f"prefill < {one(first)} > | decode < {one(gpus - first)} >"


def _searched(path: Path) -> float | None:
    """Output tokens a second and GPU of the best plan of a search of a minute."""
    source = Source(str(path), path.read_text(encoding="utf-8"))
    options = SearchOptions(over=frozenset({"phase-pools"}), seconds=60.0)
    result = search(source, (), path.parent, options, lambda _: None).result
    assert result is not None
    best = result.recommended
    return None if best is None or best.is_lowered else best.figures[THROUGHPUT_PER_GPU.name]


def _judge(path: Path) -> Judge:
    known = read_plan(Source(str(path), path.read_text(encoding="utf-8")), (), path.parent, [])
    assert known is not None
    return judge_of(known[1])


def main(seconds: float, names: list[str]) -> None:
    """Print a row for each question."""
    budget.time.monotonic = time.process_time
    for path in sorted(QUESTIONS.glob("*.moe")):
        if names and not any(path.stem.startswith(name) for name in names):
            continue
        print(f"{path.stem}: {_row(_judge(path), _searched(path), seconds)}", flush=True)


def _row(judge: Judge, best: float | None, seconds: float) -> str:
    random, workload, gpus = Random(SEED), judge.facts.workload, judge.facts.cluster.gpus
    assert gpus is not None
    seen, priced, met, found = set[str](), 0, 0, (0.0, "none")
    begun = time.process_time()
    while time.process_time() - begun < seconds:
        text = _drawn(random, gpus, workload.batch)
        if text in seen:
            continue
        seen.add(text)
        verdict = judge.verdict(text, workload.batch, OBJECTIVES)
        if verdict.code is not None or verdict.is_over or not verdict.figures:
            continue
        used, _, _, throughput, _ = verdict.vector
        priced += used == gpus
        if used == gpus and not any(one.is_missed for one in verdict.requirements):
            met += 1
            found = max(found, (-throughput / used, text))
    counts = f"{len(seen):,} drawn, {priced:,} fit, {met:,} meet the requirements; best `{found[1]}`"
    if best is None:
        return f"{counts}; the search has no answer"
    return f"{counts}, {found[0]:.0f} tokens/s/GPU, {found[0] / best - 1:+.1%} of the search's {best:.0f}"


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 120.0, sys.argv[2:])
