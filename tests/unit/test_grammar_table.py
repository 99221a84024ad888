"""The typed table of the language, cell by cell: accept, or the code of the refusal. Nothing is accepted by omission.

The answers are worked out from the rules of the language. An axis may stand in: `dp` a deployment, attention; `pp` a
deployment, a replica; `ep` those, a stage, `moe`; `tp` those, attention, an expert group; `cp` a deployment, a
replica, a stage, attention. It opens: `dp` a replica, in attention attention; `pp` a stage; `ep` an expert group;
`tp` a shard; `cp` attention. Nothing stands inside itself (H102) nor in a shard (H103); what stands elsewhere than it
may is H101. A row is an outer or left axis, its cells follow the order of `AXES`.
"""

from __future__ import annotations

from itertools import product

import pytest

from dagc.degrees import AxisKind
from dagc.syntax.tree import ScopeKind
from tests.unit.planning import codes, judged

OK = "ok"
AXES = ("dp", "pp", "ep", "tp", "cp")

NESTED = {
    # A replica takes all that a deployment does, but no second dp.
    "dp": ("H102", OK, OK, OK, OK),
    # A stage holds no requests to split: dp stands around it, or in attention.
    "pp": ("H101", "H102", OK, OK, OK),
    # An expert group is some experts: their matrices can be split, and nothing else.
    "ep": ("H101", "H101", "H102", OK, "H101"),
    "tp": ("H103", "H103", "H103", "H102", "H103"),
    # Inside cp is attention.
    "cp": (OK, "H101", "H101", OK, "H102"),
}
"""`row 2 < column 2 >`."""

FOLDED = {
    # One branch for the experts, which `ep` heads, and one for attention: dp, tp, cp. Two of one kind are H106.
    "dp": ("H106", "H107", OK, "H106", "H106"),
    # A pp makes stages, and the branches share one: H107.
    "pp": ("H107", "H107", "H107", "H107", "H107"),
    "ep": (OK, "H107", "H106", OK, OK),
    "tp": ("H106", "H107", OK, "H106", "H106"),
    "cp": ("H106", "H107", OK, "H106", "H106"),
}
"""`row 2 ; column 2`."""

POOLED = {
    # One pool without experts beside one that is only `ep`. The attention's pool may have stages and a dp of its own.
    "dp": ("H109", "H109", OK, "H109", "H109"),
    "pp": ("H109", "H109", OK, "H109", "H109"),
    "ep": (OK, OK, "H109", OK, OK),
    "tp": ("H109", "H109", OK, "H109", "H109"),
    "cp": ("H109", "H109", OK, "H109", "H109"),
}
"""`row 2 | column 2`."""

SCOPES = {
    "deployment": ("{}", (OK, OK, OK, OK, OK)),
    "replica": ("dp 2 < {} >", ("H102", OK, OK, OK, OK)),
    "stage": ("pp 2 < {} >", ("H101", "H102", OK, OK, OK)),
    "attention": ("attn < {} >", (OK, "H101", "H101", OK, OK)),
    "moe": ("moe < {} >", ("H101", "H101", OK, OK, "H101")),
    "expert group": ("ep 2 < {} >", ("H101", "H101", "H102", OK, "H101")),
    "shard": ("tp 2 < {} >", ("H103", "H103", "H103", "H102", "H103")),
    # Each phase is a deployment of its own.
    "prefill": ("prefill < {} > | decode < tp 2 >", (OK, OK, OK, OK, OK)),
    "decode": ("prefill < tp 2 > | decode < {} >", (OK, OK, OK, OK, OK)),
    # The same in the parts of a fold and of pools, where attention and experts are already named.
    "attention branch": ("{} ; ep 2", (OK, "H107", "H106", OK, OK)),
    "experts' branch": ("moe < {} > ; tp 2", ("H101", "H107", OK, OK, "H101")),
    "attention pool": ("{} | ep 2", (OK, OK, "H109", OK, OK)),
    "attention pool of a stage": ("pp 2 < {} | ep 2 >", (OK, "H102", "H109", OK, OK)),
    "experts' pool": ("tp 2 | moe < {} >", ("H101", "H109", OK, OK, "H101")),
}
"""A scope with a hole, and the answer for each axis in it."""

DOMAINS = {
    # `attn` and `moe` name a domain of a stage, written or implied.
    "deployment": (OK, OK),
    "replica": (OK, OK),
    "stage": (OK, OK),
    "attention": ("H102", "H101"),
    "moe": ("H101", "H102"),
    "expert group": ("H101", "H101"),
    "shard": ("H103", "H103"),
    "prefill": (OK, OK),
    "decode": (OK, OK),
}
"""The answers for `attn < tp 2 >` and for `moe < ep 2 >`."""

SIGNS = {"{a} 2 < {b} 2 >": NESTED, "{a} 2 ; {b} 2": FOLDED, "{a} 2 | {b} 2": POOLED}

PAIRS = [
    (form.format(a=a, b=b), table[a][AXES.index(b)]) for form, table in SIGNS.items() for a, b in product(AXES, AXES)
]
IN_SCOPE = [(hole.format(f"{axis} 3"), answers[AXES.index(axis)]) for hole, answers in SCOPES.values() for axis in AXES]
DOMAIN_IN_SCOPE = [
    (SCOPES[name][0].format(inner), answer)
    for name, answers in DOMAINS.items()
    for inner, answer in zip(("attn < tp 2 >", "moe < ep 2 >"), answers, strict=True)
]


def test_the_table_is_complete() -> None:
    """A new axis or scope has no row here, and fails."""
    assert set(AXES) == {str(kind) for kind in AxisKind}
    assert {str(kind) for kind in ScopeKind} == {"attn", "moe", "prefill", "decode"}
    for table in SIGNS.values():
        assert set(table) == set(AXES)
        assert {len(row) for row in table.values()} == {len(AXES)}
    assert {len(row) for _, row in SCOPES.values()} == {len(AXES)}
    assert set(DOMAINS) <= set(SCOPES)


@pytest.mark.parametrize(("text", "answer"), PAIRS + IN_SCOPE + DOMAIN_IN_SCOPE)
def test_accept_or_the_code(text: str, answer: str) -> None:
    found = codes(judged(text))
    assert set(found) == (set() if answer == OK else {answer})
