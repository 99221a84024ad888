"""The worker pool: work on several processes, and what comes of a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dagc.search.worker_pool import worker_pool
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


def test_work_is_done_by_all_processes() -> None:
    with worker_pool(2) as pool:
        found = pool.map(_who, range(12))
    assert len(set(found)) == 2 and os.getpid() not in found


def test_one_worker_is_this_process() -> None:
    with worker_pool(1) as pool:
        assert pool.map(_who, range(2)) == [os.getpid()] * 2


def test_pieces_come_back_in_their_order() -> None:
    with worker_pool(2) as pool:
        assert pool.map(_doubled, [[1, 2], [3], []]) == [[2, 4], [6], []]


def test_pieces_of_a_process_that_dies_are_done_again(tmp_path: Path) -> None:
    """One of three pieces kills its process: all are answered, by processes that are alive."""
    flags = [tmp_path / str(i) for i in range(3)]
    flags[1].touch()
    with worker_pool(2) as pool:
        found = pool.map(_dies_once, [str(flag) for flag in flags])
        assert len(found) == 3 and not flags[1].exists()
        assert pool.map(_doubled, [[5]]) == [[10]]


def test_a_pool_that_was_let_go_takes_no_work() -> None:
    with worker_pool(2) as pool:
        assert pool.map(_doubled, [[1]]) == [[2]]
    with pytest.raises(RuntimeError):
        pool.map(_doubled, [[1]])


KILLED = """
import os, time
from dagc.search.worker_pool import worker_pool
def who(_):
    time.sleep(0.2)
    return os.getpid()
pool = worker_pool(2)
print(*set(pool.__enter__().map(who, range(4))), flush=True)
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
