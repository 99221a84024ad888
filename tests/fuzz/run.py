"""The fuzzer's processes: each makes cases from a seed of its own and sends what it finds."""

from __future__ import annotations

import multiprocessing
import queue
import random
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.cases import Case, corpus, from_text, to_text
from tests.fuzz.generate import case as new_case
from tests.fuzz.generate import variant
from tests.fuzz.judging import Finding, judge
from tests.fuzz.shrink import shrink

DATA_BYTES = 6 << 30
"""Memory of a process; an input that needs more fails with MemoryError."""

LIFETIME = 3000
"""Inputs of a process: what it caches goes with it."""

GRACE_SECONDS = 60
"""What a process has for its last input once the time is over; then it is killed, which is a defect."""

POOL = 600
"""Cases that are kept for variants."""


@dataclass(slots=True)
class Tally:
    """What was run and found so far."""

    inputs: Counter[str] = field(default_factory=Counter[str])
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    seen: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]])
    findings: dict[str, tuple[Finding, Case]] = field(default_factory=dict[str, tuple[Finding, Case]])


def cases(rng: random.Random, pool: list[Case]) -> Iterator[Case]:
    """Without end: new cases, and variants of those in the pool, which grows meanwhile."""
    while True:
        yield variant(rng, rng.choice(pool)) if pool and rng.random() < 0.6 else new_case(rng)


def work(seed: int, end: float, current: Path, send: Callable[[object], None]) -> None:
    """One process: judge cases until the time is over. `current` has the case under way, should the process die."""
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    rng = random.Random(seed)
    pool = list(corpus().values())
    seen: set[tuple[str, ...]] = set()
    known: set[str] = set()
    for count, case in enumerate(cases(rng, pool)):
        if time.monotonic() > end or count >= LIFETIME:
            return
        current.write_text(to_text(case), encoding="utf-8")
        begun = time.process_time()
        outcome = judge(case, twice=rng.random() < 0.05)
        if outcome.seen not in seen and len(pool) < POOL:
            seen.add(outcome.seen)
            pool.append(case)
        finding = outcome.finding
        send((case.command, time.process_time() - begun, outcome.seen))
        if finding is not None and finding.key not in known:
            known.add(finding.key)
            send((finding, shrunk(case, finding.key)))


def shrunk(case: Case, key: str) -> Case:
    """A case made small; as it is where one judgement takes long or needs two runs."""

    def fails(smaller: Case) -> bool:
        found = judge(smaller).finding
        return found is not None and found.key == key

    return case if key.endswith(" differ") or ": over " in key else shrink(case, fails)


def fuzz(seconds: float, seed: int, workers: int, report: Callable[[Tally], None]) -> Tally:
    """Run processes for so long; `report` is called every half second or so."""
    context = multiprocessing.get_context("fork")
    messages = context.Queue()
    tally, end = Tally(), time.monotonic() + seconds
    with TemporaryDirectory(prefix="dagc-fuzz-state-") as state:
        running: dict[BaseProcess, Path] = {}
        started = 0
        while time.monotonic() < end or running:
            while len(running) < workers and time.monotonic() < end:
                current = Path(state) / f"{started}.json"
                process = context.Process(target=work, args=(seed * 1_000_003 + started, end, current, messages.put))
                process.start()
                running[process] = current
                started += 1
            _receive(messages, tally)
            for process in running if time.monotonic() > end + GRACE_SECONDS else ():
                process.kill()
            for process in [one for one in running if not one.is_alive()]:
                current = running.pop(process)
                if process.exitcode and current.exists():
                    died = Finding(f"the process ended with {process.exitcode}", "")
                    tally.findings.setdefault(died.key, (died, from_text(current.read_text(encoding="utf-8"))))
            report(tally)
        _receive(messages, tally)
    return tally


def _receive(messages: multiprocessing.Queue[object], tally: Tally) -> None:
    """Take what has come, waiting half a second for the first."""
    timeout = 0.5
    while True:
        try:
            message = messages.get(timeout=timeout)
        except queue.Empty:
            return
        timeout = 0.0
        match message:
            case (Finding() as finding, Case() as small):
                tally.findings.setdefault(finding.key, (finding, small))
            case (str(command), float(spent), tuple(seen)):
                tally.inputs[command] += 1
                tally.seconds[command] += spent
                tally.seen.add(seen)
            case _:
                raise TypeError(message)
