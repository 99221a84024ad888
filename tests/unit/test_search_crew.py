"""Processes that do what is akin to what they did: who gets which work, and what comes of a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from dagc.search.crew import Crew
from dagc.search.executors import workers
from tests.harness.places import ROOT


def _who(_: object) -> int:
    time.sleep(0.05)
    return os.getpid()


def _doubled(piece: Sequence[int]) -> list[int]:
    return [2 * one for one in piece]


def _dies_once(flag: str) -> int:
    """Kills the process that does it, unless the file is gone."""
    if Path(flag).exists():
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_work_of_a_kin_is_done_by_one_process() -> None:
    """Two pieces of each of two kins: no process has more at hand than it was given, so none takes from the other."""
    with workers(2) as staff:
        found = staff.begin(_who, range(4), [6, 7, 6, 7])()
    assert found[0] == found[2] and found[1] == found[3] and found[0] != found[1]
    assert os.getpid() not in found


def test_a_process_without_work_takes_from_the_others() -> None:
    with workers(2) as staff:
        assert len(set(staff.begin(_who, range(12), [0] * 12)())) == 2


def test_what_was_begun_earlier_can_be_waited_for_later() -> None:
    with workers(2) as staff:
        first, last = staff.begin(_doubled, [[1, 2], [3]]), staff.begin(_doubled, [[4]], [1])
        assert last() == [[8]]
        assert first() == [[2, 4], [6]]


def test_pieces_of_a_process_that_dies_are_done_again(tmp_path: Path) -> None:
    """One of three pieces kills its process: all are answered, by processes that are alive."""
    flags = [tmp_path / str(i) for i in range(3)]
    flags[1].touch()
    with workers(2) as staff:
        others = staff.begin(_doubled, [[1]] * 40)
        found = staff.begin(_dies_once, [str(flag) for flag in flags], [0, 1, 0])()
        assert len(found) == 3 and not flags[1].exists()
        assert others() == [[2]] * 40
        assert staff.begin(_doubled, [[5]])() == [[10]]


def test_a_crew_that_was_let_go_takes_no_work() -> None:
    crew = Crew(2)
    assert crew.submit(_doubled, [1]).result() == [2]
    waiting = [crew.submit_akin(0, _who, 0) for _ in range(6)]
    crew.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(BrokenProcessPool):
        waiting[-1].result()
    with pytest.raises(BrokenProcessPool):
        crew.submit(_doubled, [1])


KILLED = """
import os, time
from dagc.search.crew import Crew
crew = Crew(2)
pids = {crew.submit_akin(kin, os.getpid).result() for kin in (0, 1)}
print(*pids, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")
def test_processes_end_with_a_search_that_is_killed() -> None:
    """Nothing tells them: they notice that their parent is gone."""
    run = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 2 and all(map(_is_running, pids))
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(_is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_is_running, pids))


def _is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody waited for is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
