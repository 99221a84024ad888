"""Trace files of requests: the three forms, what is refused with its line, and the requests that are drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.facts.trace_file import MOST_IN_A_SECOND, read_trace
from dagc.facts.workload import declare_workload
from dagc.plan.workload import RequestTrace, Workload
from dagc.simulate.requests import draw_requests
from dagc.source import Source
from dagc.syntax.parser import parse_fragment

PLACE = Source("plan", 'trace "t"').span(0, 9)
HEAD = "arrival,prompt,output\n"


def read(directory: Path, text: str | bytes, has_arrivals: bool = True) -> RequestTrace | Diagnostic:
    path = directory / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trace(path, "t.csv", PLACE, has_arrivals)


def workload(directory: Path, text: str) -> Workload:
    block, problems = parse_fragment("workload", Source("w", text))
    assert block is not None, problems
    found, problems = declare_workload(block, directory)
    assert found is not None, problems
    return found


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "1.5,10,3\n1.5,20,4\n\n2.75,30,5\n",
        "output,user,arrival,prompt\r\n3,a,1.5,10\r\n4,b,1.5,20\r\n5,c,2.75,30\r\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5000000,10,3\n"
        "2023-11-16 18:15:46.5000000,20,4\n2023-11-16 18:15:47.7500000,30,5\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.500000+00:00,10,3\n"
        "2024-05-10 00:00:00.500000+00:00,20,4\n2024-05-10 00:00:01.750000+00:00,30,5\n",
        '{"timestamp": 1500, "input_length": 10, "output_length": 3, "hash_ids": [0, 1]}\n'
        '{"timestamp": 1500, "input_length": 20, "output_length": 4, "hash_ids": []}\n'
        '{"timestamp": 2750, "input_length": 30, "output_length": 5, "hash_ids": [2]}\n',
    ],
    ids=["plain", "columns", "azure", "azure zone", "mooncake"],
)
def test_every_form_says_the_same(tmp_path: Path, text: str) -> None:
    """1.25 s between the second and the third; arrivals count from the first."""
    found = read(tmp_path, text)
    assert isinstance(found, RequestTrace), found.message
    assert found.arrival.tolist() == [0, 0, 1_250_000_000_000]
    assert (found.prompt.tolist(), found.output.tolist()) == ([10, 20, 30], [3, 4, 5])
    assert found.requests_per_second == pytest.approx(2 / 1.25)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "N161", "empty"),
        ("\n \n", "N161", "empty"),
        (HEAD, "N161", "no request"),
        ("time,prompt,output\n1,2,3\n", "N161", "`time,prompt,output`"),
        (b"\xff\xfe\x00", "N161", "UTF-8"),
        (HEAD + "0,1,1\n2e6,1,1\n", "N161", "longer"),
        (HEAD + "2,1,1\n\n1,1,1\n", "N162", "line 4: `arrival` is earlier than in line 2"),
        (HEAD + "-1,1,1\n", "N162", "line 2: `arrival` is -1"),
        (HEAD + "nan,1,1\n", "N162", "line 2: `arrival` is nan"),
        (HEAD + "inf,1,1\n", "N162", "line 2: `arrival` is inf"),
        (HEAD + "0,1,1\n0,0,1\n", "N162", "line 3: `prompt` is 0"),
        (HEAD + "0,1,1\n0,1,-3\n", "N162", "line 3: `output` is -3"),
        (HEAD + "0,1.5,1\n", "N162", "line 2: `prompt` is 1.5"),
        (HEAD + "0,1,1\n0,x y,1\n", "N162", "line 3: `prompt` is no number: `x y`"),
        (HEAD + "0,1,1\n\n\n0,1,\n", "N162", "line 5: `output` is missing"),
        (HEAD + "0,1,1\n0\n", "N162", "line 3: `prompt` is missing"),
        (HEAD + "0,1,1e30\n", "N162", "line 2: `output` is 1e+30"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n", "N162", "line 2: `TIMESTAMP` is no number"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n,1,1\n", "N162", "line 2: `TIMESTAMP` is missing"),
        ('{"timestamp": 0, "input_length": 1}\n', "N162", "line 1: `output_length` is missing"),
        ('{"timestamp": 0, "input_length": "7", "output_length": 1}\n', "N162", "`input_length` is no number: `7`"),
        ('{"timestamp": 0, "input_length": true, "output_length": 1}\n', "N162", "`input_length` is no number"),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1}\nno\n', "N162", "line 2: it is no JSON object"),
        (HEAD + "0,1,1\n" * (MOST_IN_A_SECOND + 1), "N163", f"{MOST_IN_A_SECOND + 1:,} requests arrive"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str | bytes, code: str, words: str) -> None:
    found = read(tmp_path, text)
    assert isinstance(found, Diagnostic)
    assert found.code.code == code
    assert words in found.message
    assert found.help and found.span == PLACE


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.csv", tmp_path):
        found = read_trace(path, path.name, PLACE)
        assert isinstance(found, Diagnostic) and found.code.code == "N161"


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + "0,1,1\n\n0,2,1\n")
    assert isinstance(found, RequestTrace) and found.lines is not None
    assert found.lines.tolist() == [2, 4]


def test_lengths_need_no_times(tmp_path: Path) -> None:
    found = read(tmp_path, "prompt,output\n10,3\n20,5\n", has_arrivals=False)
    assert isinstance(found, RequestTrace)
    load = workload(tmp_path, 'concurrency 4    lengths "t.csv"    requests 1000')
    assert (load.prompt, load.output) == (15, 4), "means of 10 and 20, of 3 and 5"
    drawn = draw_requests(load)
    pairs = set(zip(drawn.prompt.tolist(), drawn.output.tolist(), strict=True))
    assert pairs == {(10, 3), (20, 5)}, "a prompt keeps its output"
    assert drawn.cap == 4 and not drawn.arrival.any()


def test_a_trace_is_repeated_a_mean_gap_later(tmp_path: Path) -> None:
    """Arrivals at 0, 1 and 4 s: a mean gap of 2 s, so that the second turn begins at 6 s."""
    read(tmp_path, HEAD + "0,10,1\n1,20,2\n4,30,3\n")
    load = workload(tmp_path, 'trace "t.csv"    requests 5    cached 50 %')
    drawn = draw_requests(load)
    assert (drawn.arrival / 1e12).tolist() == [0, 1, 4, 6, 7]
    assert drawn.prompt.tolist() == [10, 20, 30, 10, 20]
    assert drawn.hit.tolist() == [5, 10, 15, 5, 10]
    assert drawn.cap == 0 and len(draw_requests(load, 3)) == 3
    assert load.requests_per_second == pytest.approx(0.5)
    assert load.is_open and workload(tmp_path, 'trace "t.csv"    concurrency 3').concurrency == 3


def test_draws_follow_the_stated_distributions(tmp_path: Path) -> None:
    """Gamma gaps of shape k have a coefficient of variation of 1 / sqrt(k); a range has its mean in the middle."""
    text = "rate 20 requests/s    burstiness 0.25    prompt 820 to 1024    output 100 to 301    seed 7"
    load = workload(tmp_path, text)
    assert (load.prompt, load.output) == (922, 201), "(820 + 1024) / 2, and 200.5 rounded up"
    drawn = draw_requests(load, 100_000)
    gaps = np.diff(drawn.arrival) / 1e12
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(2, rel=0.03)
    assert (drawn.prompt.min(), drawn.prompt.max()) == (820, 1024)
    assert drawn.prompt.mean() == pytest.approx(922, rel=0.002)
    assert np.corrcoef(drawn.prompt, drawn.output)[0, 1] == pytest.approx(0, abs=0.02)
    again = draw_requests(workload(tmp_path, text), 100_000)
    assert (again.arrival == drawn.arrival).all() and (again.output == drawn.output).all()
    other = draw_requests(workload(tmp_path, text.replace("seed 7", "seed 8")), 100_000)
    assert (other.arrival != drawn.arrival).any() and (other.output != drawn.output).any()


def test_a_whole_prompt_is_never_in_the_cache(tmp_path: Path) -> None:
    assert draw_requests(workload(tmp_path, "concurrency 2    prompt 1    cached 100 %")).hit.max() == 0
    assert draw_requests(workload(tmp_path, "concurrency 2    prompt 9    cached 100 %")).hit.max() == 8
    assert len(draw_requests(workload(tmp_path, "concurrency 200"))) == 2000, "ten for each in flight"
