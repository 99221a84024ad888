"""Every mistake of a plan in one run: one diagnostic a cause, in the order of the text, and none that follows."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import in_order
from dagc.driver.check import check
from dagc.source import Source

TWENTY = """\
model m {
    layers 16    hidden 2048    vocab 32000    dtype bf16
    attention { heads 24    kv_heads 8    head_dim 64 }
    experts 16 { top 2    ffn 6144 }
}
cluster h100-sxm x 32
workload {
    batch 64
    promt 1024                                  # N111
    output 128
}
require {
    gpus >= 24                                  # R101
    memory <= 80 GX                             # N101
    latncy <= 10 ms                             # N131
}
rules { allow gpus-idle W120 W125 tp-across-node    deny D203 }     # N110 N151
strategy fine = dp 2 < pp 2 < ep 8 > >
strategy glued = pp 4 < ep16 >                  # S004
strategy open = pp 4 < ep 1.5 >                 # S005
strategy shard = tp 2 < ep 4 >                  # H103
strategy inside = pp 2 < pp 2 >                 # H102
strategy spelt = ep 8 [overlp 2]                # N120
strategy value = ep 8 [overlap 3]               # N121
strategy experts = ep 32                        # D203
strategy heads = tp 5                           # D301
strategy layers = pp 2 [layers 9 9]             # D105
strategy wide = dp 8 < ep 8 >                   # G101
strategy uneven = pp 3 < ep 8 >                 # W101
strategy thirds = dp 8 < ep 3 >                 # W102
strategy alone = prefill < ep 8 >               # H110
strategy small = ep 16
claims fine { replicas 4 }                      # C101
"""
"""Of `fine`: 2 × 2 × 8 = 32 GPUs, all of the cluster, and 2 replicas. `wide` takes 8 × 8 = 64; `uneven` and `thirds`
24, with 16 layers in 3 stages and 16 experts on 3 ranks; `small` takes 16, fewer than are required.
"""


def codes_by_line(text: str) -> list[tuple[int, str]]:
    found = check(Source("plan.moe", text)).diagnostics
    assert found == in_order(found)
    return [(d.span.source.position(d.span.start)[0], d.code.code) for d in found if d.span]


def test_many_mistakes_are_found_in_one_run() -> None:
    stated: list[tuple[int, str]] = []
    for number, line in enumerate(TWENTY.splitlines(), start=1):
        stated += [
            (number, word.strip(",")) for word in line.partition("#")[2].split() if word.strip(",")[1:].isdigit()
        ]
    found = codes_by_line(TWENTY)
    assert sorted(found) == sorted(stated)
    assert len(found) == 20
    assert {code[0] for _, code in found} == set("SNHDGRWC")


FOLLOWS = [
    ("model m { layers 16 expers 16 { top 2 } }\nstrategy main = ep 300", ["N111"]),
    ("model m { layers 16\nstrategy main = pp 300", ["S002"]),
    ("modle mixtral-8x7b { layers 4 }\nstrategy main = ep 300", ["S009"]),
    ("cluster h100-sxm x 8 { nodes }\nstrategy main = ep 16", ["N111"]),
    ("workload { batch }\nstrategy main = dp 300\nclaims main { sequences_per_replica 7 }", ["N114"]),
    ("strategy a = ep16\nclaims a { gpus 8 }", ["S004"]),
    ("strategy = ep 16\nclaims a { gpus 8 }", ["S001"]),
    ("model mixtral-8x7b {\nstrategy a = ep 300\nstrategy b = tp 2 < ep 2 >", ["S002", "H103"]),
    ("prefill [device h21] < ep 300 > | decode < ep 8 >", ["N110"]),
    ("strategy a = ep 8\nstrategy a = tp 2 < ep 2 >", ["S011"]),
    ("ep 8\nstrategy a = ep 8 tp 2", ["S010"]),
    ("strategy a = ep 300\nmodel", ["S001"]),
]


@pytest.mark.parametrize(("text", "codes"), FOLLOWS)
def test_nothing_follows_from_what_is_wrong(text: str, codes: list[str]) -> None:
    """A block that is wrong is not stated, and takes no default; a strategy that cannot be read claims nothing."""
    assert [code for _, code in codes_by_line(text) if not code.startswith("W")] == codes


def test_a_block_given_as_an_option_takes_no_default_where_it_is_wrong() -> None:
    source = Source("-e", "ep 300")
    found = check(source, (("model", Source("--model", "{ layers")),)).diagnostics
    assert [d.code.code for d in found] == ["S002"]


def test_nothing_is_made_of_a_plan_with_a_syntax_error() -> None:
    """Such an error stops the compiler, also for the strategies that can be read."""
    outcome = check(Source("p", "strategy a = ep16\nstrategy b = ep 8"))
    assert outcome.checked == ()
