"""The compiled event loop of a simulation gives every request the times that a stepwise one gives it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dagc.simulate import gaps
from dagc.simulate.gaps import Nodes, Numbers
from dagc.simulate.kernel import Simulated, Simulation
from dagc.simulate.policy import FirstToken, Late, LoadBalancer, Policy, Reserve
from dagc.simulate.requests import Requests
from tests.harness.effort import examples
from tests.harness.step_times import NearHalf, Tables
from tests.harness.stepwise import Stepwise

TICK = 1 << 20
"""Times are often multiples of it, so that events coincide; corners always, so that sums of floats are exact."""
UNIT = 1024


@dataclass(frozen=True)
class Case:
    """What both simulations take."""

    requests: Requests
    policies: tuple[Policy, ...]
    times: tuple[Tables, ...]
    entry: int
    exit_delay: int
    first_token: int
    counted: tuple[bool, ...]
    """Of each request whether its gaps are kept."""


def _busy(seed: int) -> Requests:
    """Many requests at almost one time: so many drawn one by one would be too much for a search of examples."""
    random = np.random.RandomState(seed)
    count = random.randint(8, 40)
    arrival = np.cumsum(random.randint(0, 3, count) * random.randint(0, 4, count)) * TICK
    prompt, output, hit = (random.randint(1, 61, count) for _ in range(3))
    return Requests(
        arrival.astype(np.int64), prompt.astype(np.int32), output.astype(np.int32), (hit % prompt).astype(np.int32)
    )


@st.composite
def _requests(draw: st.DrawFn) -> Requests:
    count = draw(st.integers(1, 24))
    length = st.integers(1, draw(st.sampled_from([3, 12, 60])))

    def column(values: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(values, min_size=count, max_size=count))

    gap = st.one_of(st.just(0), st.integers(0, 40).map(lambda i: i * TICK), st.integers(0, 8 * TICK))
    arrival = np.cumsum(column(gap)) if draw(st.integers(0, 3)) else np.zeros(count)
    prompt, output = column(length), column(length)
    hits = column(st.integers(0, 59)) if draw(st.booleans()) else [0] * count
    return Requests(
        arrival.astype(np.int64),
        np.array(prompt, dtype=np.int32),
        np.array(output, dtype=np.int32),
        np.array([h % p for h, p in zip(hits, prompt, strict=True)], dtype=np.int32),
        draw(st.sampled_from([0, 0, 1, 2, 5, 9])),
    )


@st.composite
def _policies(draw: st.DrawFn, requests: Requests) -> Policy:
    """A policy under which each of the requests fits."""
    mixes, chunks = draw(st.booleans()), draw(st.booleans())
    reserve = draw(st.sampled_from([Reserve.GROW, Reserve.WHOLE] if mixes else list(Reserve)))
    drafted = draw(st.sampled_from([0, 0, 1, 3]))
    unit = UNIT if drafted else 1
    block = draw(st.sampled_from([1, 2, 4, 16]))
    most = int((requests.prompt + requests.output).max()) + drafted
    total = int((requests.prompt + requests.output).sum())
    fits = -(-most // block) + {Reserve.ESTIMATE: 1, Reserve.LOOKAHEAD: 2}.get(reserve, 0)
    plenty = draw(st.integers(0, 3)) == 0
    blocks = fits + draw(st.integers(0, total // block) if plenty else st.integers(0, 1 + 30 // block))
    least = most if mixes and not chunks else block
    first = draw(st.floats(0.0, 1.0))
    return Policy(
        replicas=draw(st.sampled_from([1, 1, 1, 2, 3])),
        ranks=draw(st.sampled_from([1, 1, 1, 2, 3, 4])),
        router=draw(st.sampled_from(LoadBalancer)),
        mixes=mixes,
        chunks=chunks,
        budget=(1 + drafted if chunks else most) + draw(st.integers(0, 60)),
        prompt_budget=draw(st.integers(1, 120)),
        threshold=least + draw(st.integers(0, 60)),
        most_running=draw(st.sampled_from([1, 2, 3, 5, 256])),
        reserve=reserve,
        block=block,
        blocks=blocks,
        decodes_beside=draw(st.booleans()),
        late=draw(st.sampled_from(Late)),
        ahead=draw(st.booleans()),
        poll=draw(st.sampled_from([1, 1, 2, 3, 10])),
        balance=draw(st.sampled_from([0, 0, 1, 3, 20])),
        prefill_launch=draw(st.sampled_from([0, 0, 3 * TICK, 30 * TICK, 5_000_001])),
        graph_tokens=draw(st.sampled_from([0, 0, 5, 40])),
        prefill_floor=draw(st.sampled_from([0, 0, 2 * TICK, 20 * TICK])),
        yielded=unit + (draw(st.integers(0, drafted * unit)) if drafted else 0),
        drafted=drafted,
        unit=unit,
        ratio_first=first,
        ratio_min=first * draw(st.floats(0.0, 1.0)),
        ratio_steps=draw(st.integers(1, 20)),
        clip=draw(st.sampled_from([1, 8, 4096])),
        transfer_base=draw(st.sampled_from([0, 0, 5 * TICK])),
        transfer_token=draw(st.sampled_from([0, TICK, 1000])),
    )


def _nodes(first: float, distances: list[int]) -> Nodes:
    return np.cumsum([first, *distances]).astype(np.float64)


@st.composite
def _times(draw: st.DrawFn) -> Tables:
    distances = st.lists(st.sampled_from([1, 2, 4, 8, 16]), max_size=3)
    axes = [_nodes(first, draw(distances)) for first in (0.0, 0.0, float(draw(st.sampled_from([0, -3, -20]))))]
    fullness = np.array(draw(st.sampled_from([(1.0,), (0.25, 1.0), (0.25, 0.5, 1.0), (0.125, 0.25, 0.5, 0.75, 1.0)])))
    starts = sorted({0, *draw(st.lists(st.integers(1, 300), max_size=3))})
    rows = st.tuples(
        *(st.lists(st.integers(0, 3), min_size=len(axis), max_size=len(axis)).map(np.cumsum) for axis in axes),
        st.lists(st.integers(1, 3), min_size=len(fullness), max_size=len(fullness)),
    )
    terms = draw(st.lists(rows.map(lambda term: tuple(tuple(map(int, row)) for row in term)), max_size=2))
    constant = tuple((1,) * len(axis) for axis in (*axes, fullness))
    return Tables(
        fullness=fullness,
        sequences=axes[0],
        prompts=axes[1],
        contexts=axes[2],
        base=draw(st.integers(1, 4)),
        step=draw(st.integers(0, 2)),
        starts=tuple(starts),
        slopes=tuple(draw(st.integers(0, 1 << 34)) if draw(st.booleans()) else 0 for _ in starts),
        terms=(constant, *terms),
        unit_time=TICK,
    )


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    requests = draw(st.one_of(_requests(), st.integers(0, 1 << 31).map(_busy)))
    services = draw(st.sampled_from([1, 1, 2]))
    policies = [draw(_policies(requests)) for _ in range(services)]
    drafts = policies[-1]
    policies = [replace(p, yielded=drafts.yielded, drafted=drafts.drafted, unit=drafts.unit) for p in policies]
    delay = st.sampled_from([0, 0, TICK, 12345])
    leaves_out = draw(st.sampled_from([0, 0, 2, 3]))
    return Case(
        requests,
        tuple(_widened(p, drafts.drafted) for p in policies),
        tuple(draw(_times()) for _ in range(services)),
        draw(delay),
        draw(delay),
        draw(st.integers(0, 2)),
        tuple(not leaves_out or number % leaves_out > 0 for number in range(len(requests))),
    )


def _widened(p: Policy, drafted: int) -> Policy:
    """With room for so many drafted tokens, where the policy was drawn with another number."""
    return replace(p, budget=p.budget + drafted, threshold=p.threshold + drafted, blocks=p.blocks + drafted)


def _stepwise(case: Case) -> Stepwise:
    c = case
    return Stepwise(c.requests, c.policies, c.times, c.entry, c.exit_delay, c.first_token, c.counted).run()


def _compiled(case: Case) -> Simulated:
    c = case
    counted = np.array(c.counted)
    return Simulation(
        c.requests, c.policies, c.times, c.entry, c.exit_delay, FirstToken(c.first_token), counted=counted
    ).run()


def _expanded(rows: Numbers) -> Counter[int]:
    """How often each gap is there."""
    gaps: Counter[int] = Counter()
    for base, slope, context, growth, steps, sequences in rows.tolist():
        for step in range(steps):
            gaps[base + (slope * (context + step * growth) >> 16)] += sequences
    return gaps


def differences(case: Case) -> dict[str, object]:
    """Where the two simulations of a case differ: by name, what the stepwise one says and what the other."""
    expected, found = _stepwise(case), _compiled(case)
    names = ("issued", "admitted", "first", "last", "preempted", "place")
    pairs = {name: (getattr(expected, name), getattr(found, name).tolist()) for name in names}
    pairs["gaps"] = Counter(expected.gaps), _expanded(found.gaps)
    pairs["busy"] = [r.busy for s in expected.services for r in s.replicas], found.busy.tolist()
    ranks = [rank for s in expected.services for r in s.replicas for rank in r.ranks]
    pairs["waiting"] = [rank.waiting_time for rank in ranks], found.waiting_time.tolist()
    pairs["running"] = [rank.running_time for rank in ranks], found.running_time.tolist()
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def test_many_gaps_are_rounded_to_1_part_in_8192(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bin is 1 / 4,096 of its octave, and its middle stands for it."""
    requests = _busy(3)
    full, *none = (np.array([n]) for n in (1.0, 0.0, 0.0, 0.0))
    term = ((1,),) * 4
    tables = Tables(full, none[0], none[1], none[2], 3, 1, (0, 40), (1 << 20, 1 << 21), (term,), 1_000_003)
    run = Simulation(requests, [Policy(most_running=8)], [tables]).run
    exact = sorted(_expanded(run().gaps).elements())
    monkeypatch.setattr(gaps, "EXACT_ROWS", 0)
    rounded = sorted(_expanded(run().gaps).elements())
    assert len(set(rounded)) < len(set(exact)), "the case has gaps that share a bin"
    assert len(rounded) == len(exact)
    assert all(abs(found - gap) * 8192 <= gap for found, gap in zip(rounded, exact, strict=True))


@settings(max_examples=examples(80, 1500))
@given(_cases())
def test_a_compiled_simulation_is_the_stepwise_one(case: Case) -> None:
    try:
        assert differences(case) == {}
    except NearHalf:
        assume(False)
