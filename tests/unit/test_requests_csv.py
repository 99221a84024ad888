"""Requests as CSV: fields by hand, exact times, and the same text as the csv module would write.

Each token of a step with prompts takes 2 ms, decode 1 ms. Request 0 (3 tokens, 4 out) arrives at 0: its first token is
there at 3 · 2 = 6 ms. Request 1 (2 in, 2 out) arrived at 1 ms, and joins then: 3 tokens of both take 3 · 2 + 1 = 7 ms,
so 13 ms; one step later, at 14 ms, it ends, and request 0 at 15 ms, (15 - 6) / 3 = 3 ms a token. Request 2 (1 in, 1
out) comes at 30 ms.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from dagc.export.load import requests_csv as written
from dagc.simulate.load import LoadRun
from dagc.simulate.policy import Policy
from tests.harness.load_runs import MILLISECOND, load_run, requests


def _run() -> LoadRun:
    return load_run("ep 8", requests([0, 1, 30], [3, 2, 1], [4, 2, 1]), [Policy()], (1, 3))


def _text(run: LoadRun) -> str:
    return b"".join(written.requests_csv(run)).decode()


def test_each_request_has_a_row() -> None:
    zeros = "0" * 9
    assert _text(_run()).splitlines() == [
        "request,arrival_s,issued_s,admitted_s,first_token_s,last_token_s,prompt_tokens,output_tokens,hit_tokens,"
        "ttft_s,tpot_s,e2e_s,preemptions,counted,service,replica,rank",
        f"0,0.000{zeros},0.000{zeros},0.000{zeros},0.006{zeros},0.015{zeros},3,4,0,"
        f"0.006{zeros},0.003{zeros},0.015{zeros},0,0,both,0,0",
        f"1,0.001{zeros},0.001{zeros},0.006{zeros},0.013{zeros},0.014{zeros},2,2,0,"
        f"0.012{zeros},0.001{zeros},0.013{zeros},0,1,both,0,0",
        f"2,0.030{zeros},0.030{zeros},0.030{zeros},0.032{zeros},0.032{zeros},1,1,0,"
        f"0.002{zeros},,0.002{zeros},0,1,both,0,0",
    ]


def test_a_request_names_the_rank_that_decoded_it() -> None:
    """Queues are given in turns: of two replicas of two ranks the second queue is rank 1 of replica 0.

    Request 2 yields its only token in prefill, so it never enters decode.
    """
    policies = [Policy(transfer_base=MILLISECOND), Policy(replicas=2, ranks=2)]
    run = load_run("prefill < ep 8 > | decode < dp 2 < ep 8 > >", requests([0, 1, 30], [3, 2, 1], [4, 2, 1]), policies)
    rows = csv.DictReader(io.StringIO(_text(run)))
    assert [(row["service"], row["replica"], row["rank"]) for row in rows] == [
        ("decode", "0", "0"), ("decode", "0", "1"), ("prefill", "0", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_times_are_exact_at_any_size(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Picoseconds from 0 to months, of many lengths, next to each other: as `Decimal` has them."""
    monkeypatch.setattr(written, "CHUNK", chunk)
    random = np.random.RandomState(3)
    last = np.sort((10 ** random.uniform(0, 18.9, 40)).astype(np.int64))
    run = load_run("ep 8", requests([0] * 40, [1] * 40, [2] * 40), [Policy()])
    done = replace(run.simulated, issued=np.zeros(40, dtype=np.int64), first=last // 2, last=last)
    rows = list(csv.DictReader(io.StringIO(_text(replace(run, simulated=done)))))
    assert [Decimal(row["last_token_s"]) for row in rows] == [Decimal(int(one)).scaleb(-12) for one in last]
    assert [Decimal(row["tpot_s"]) for row in rows] == [Decimal(int(one - one // 2)).scaleb(-12) for one in last]
    assert all(
        row["last_token_s"] == f"{int(one) // 10**12}.{int(one) % 10**12:012}"
        for row, one in zip(rows, last, strict=True)
    )
