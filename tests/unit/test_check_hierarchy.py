"""Where each axis and scope may stand, and what is said where it may not."""

from __future__ import annotations

import re

import pytest

from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from tests.unit.planning import codes, deployment, judged, strategy

# A scope, and a strategy whose hole is in it.
SCOPES = {
    "deployment": "{}",
    "replica": "dp 2 < {} >",
    "stage": "pp 2 < {} >",
    "attention": "attn < {} >",
    "cp": "cp 2 < {} >",
    "moe": "moe < {} >",
    "expert group": "ep 2 < {} >",
    "shard": "tp 2 < {} >",
}

# The typed table of the language; what is absent is refused. Inside `cp` is attention, where no second `cp` stands.
ALLOWED = {
    "dp 3": {"deployment", "attention", "cp"},
    "pp 3": {"deployment", "replica"},
    "ep 3": {"deployment", "replica", "stage", "moe"},
    "tp 3": {"deployment", "replica", "stage", "attention", "cp", "moe", "expert group"},
    "cp 3": {"deployment", "replica", "stage", "attention"},
    "attn < tp 3 >": {"deployment", "replica", "stage"},
    "moe < ep 3 >": {"deployment", "replica", "stage"},
    "prefill < ep 3 > | decode < ep 3 >": {"deployment", "replica"},
    "ep 3 ; tp 3": {"deployment", "replica", "stage"},
    "tp 3 | ep 3": {"deployment", "replica", "stage"},
}


@pytest.mark.parametrize("inner", ALLOWED)
@pytest.mark.parametrize("scope", SCOPES)
def test_what_may_stand_where(scope: str, inner: str) -> None:
    text = SCOPES[scope].format(inner)
    found = judged(text)
    if scope in ALLOWED[inner]:
        assert found == ()
        assert deployment(text).gpus > 0
    else:
        assert len(found) == 1, codes(found)
        assert found[0].code.code.startswith("H")
        assert resolve(annotate(strategy(text))) == (None, ())


# A strategy, its one error, and the spellings that the help offers.
REFUSED = [
    ("ep 16 < pp 4 >", "H101", ["pp 4 < ep 16 > 64"]),
    ("ep 4 < dp 2 >", "H101", ["dp 2 < ep 4 > 8", "ep 4 ; dp 2 4"]),
    ("pp 2 < dp 4 >", "H101", ["dp 4 < pp 2 > 8", "pp 2 < attn < dp 4 > > 8"]),
    ("ep 4 < cp 2 < tp 2 > >", "H101", ["ep 4 ; cp 2 < tp 2 > 4"]),
    ("pp 2 < pp 2 >", "H102", ["pp 4 4"]),
    ("dp 2 < pp 2 < dp 2 > >", "H102", ["dp 2 < pp 2 < attn < dp 2 > > > 8", "dp 4 < pp 2 > 8"]),
    ("attn < attn < tp 2 > >", "H102", ["attn < tp 2 > 2"]),
    ("tp 2 < ep 4 >", "H103", ["ep 4 < tp 2 > 8", "ep 4 ; tp 2 4"]),
    ("dp 2 < tp 2 < pp 4 > >", "H103", ["dp 2 < pp 4 < tp 2 > > 16"]),
    ("cp 2 < tp 2 ; ep 4 >", "H104", ["ep 4 ; cp 2 < tp 2 > 4", "tp 2 ; ep 4 4"]),
    ("ep 4 ; tp 2 ; cp 2", "H105", ["ep 4 ; cp 2 < tp 2 > 4"]),
    ("tp 2 ; tp 4", "H106", ["tp 2 ; moe < tp 4 > 4", "moe < tp 2 > ; tp 4 4"]),
    ("ep 2 ; ep 4", "H106", ["ep 4 4", "ep 2 2"]),
    ("pp 2 < ep 4 > ; tp 8", "H107", ["pp 2 < ep 4 ; tp 8 > 16"]),
    ("dp 4 < ep 2 > ; tp 8", "H107", ["dp 4 < ep 2 ; tp 8 > 32"]),
    ("prefill < ep 4 > ; tp 2", "H107", []),
    ("ep 4 < tp 2 | ep 4 >", "H108", ["tp 2 | ep 4 6"]),
    ("tp 4 | tp 2", "H109", ["tp 4 | moe < tp 2 > 6"]),
    ("(ep 4 ; tp 2) | ep 4", "H109", ["tp 2 | ep 4 6"]),
    ("pp 2 < ep 4 > | tp 2", "H109", ["pp 2 < ep 4 | tp 2 > 12"]),
    ("pp 2 < tp 2 > | pp 2 < ep 4 >", "H109", ["pp 2 < tp 2 > | ep 4 8", "pp 2 < tp 2 | ep 4 > 12"]),
    ("tp 2 | tp 2 | ep 4", "H109", []),
    ("dp 4 | dp 4", "H109", []),
    ("prefill < ep 4 >", "H110", ["ep 4 4", "prefill < ep 4 > | decode < ep 4 > 8"]),
    ("prefill < ep 4 > | prefill < ep 4 >", "H111", ["prefill < ep 4 > | decode < ep 4 > 8"]),
    ("prefill < ep 4 > | ep 8", "H112", ["prefill < ep 4 > | decode < ep 8 > 12"]),
    (
        "pp 2 < prefill < ep 4 > | decode < ep 4 > >",
        "H113",
        ["prefill < pp 2 < ep 4 > > | decode < pp 2 < ep 4 > > 16"],
    ),
    (
        "prefill < prefill < ep 4 > | decode < ep 2 > > | decode < ep 4 >",
        "H113",
        ["prefill < ep 4 > | decode < ep 4 > 8"],
    ),
]


@pytest.mark.parametrize(("text", "code", "offers"), REFUSED)
def test_one_error_and_its_way_out(text: str, code: str, offers: list[str]) -> None:
    found = judged(text)
    assert codes(found) == [code]
    written = [" ".join(pair) for help in found[0].help for pair in re.findall(r"`([^`]+)` \((\d+) GPU", help)]
    assert written == offers
    assert found[0].help, "an error shows a way out"
    for offer in offers:
        spelling, _, gpus = offer.rpartition(" ")
        assert deployment(spelling).gpus == int(gpus)


def test_the_place_is_the_axis_and_the_scope_around_it() -> None:
    (found,) = judged("dp 2 < ep 16 < pp 4 > >")
    assert found.span is not None and found.span.text == "pp 4"
    assert [label.span.text for label in found.labels] == ["ep 16"]
    assert "splits the layers" in found.label


def test_two_causes_are_two_errors() -> None:
    assert codes(judged("prefill < ep 4 < pp 2 > > | decode < tp 2 < ep 4 > >")) == ["H101", "H103"]


def test_one_chain_is_one_cause() -> None:
    assert codes(judged("tp 2 < ep 4 < pp 2 < dp 2 > > >")) == ["H103"]


def test_help_for_a_part_of_a_strategy_with_other_faults_shows_the_part() -> None:
    first, second = judged("prefill < ep 4 < pp 2 > > | decode < tp 2 < ep 4 > >")
    assert first.help == ("use `pp 2 < ep 4 >`",)
    assert second.help == ("use `ep 4 < tp 2 >` or `ep 4 ; tp 2`",)


OPTIONS = [
    ("pp 4 [mircro 8]", "N120", "did you mean `micro`?"),
    ("dp 4 [zzz]", "N120", "`dp` has no options"),
    ("pp 4 [micro 0]", "N121", "[micro 8]"),
    ("pp 4 [micro 2.5]", "N121", "[micro 8]"),
    ("pp 4 [micro]", "N121", "[micro 8]"),
    ("ep 4 [overlap 3]", "N121", "[overlap 2]"),
    ("tp 4 [sp 2]", "N121", "[sp]"),
    ("ep 4 [shared both]", "N121", "[shared replicated]"),
    ("pp 4 < ep 4 [micro 8] >", "N122", "after `pp`"),
    ("ep 4 < tp 2 [sp] > ; tp 4", "N122", "attention"),
    ("attn [device h20-sxm] < tp 2 > ; ep 4", "N122", "`|`"),
    ("pp 4 [micro 8, micro 4]", "N123", "leave one"),
]


@pytest.mark.parametrize(("text", "code", "help"), OPTIONS)
def test_options(text: str, code: str, help: str) -> None:
    found = judged(text)
    assert codes(found) == [code]
    assert help in " ".join(found[0].help)


@pytest.mark.parametrize(
    "text",
    [
        "pp 2 [micro 8, layers 9 7] < ep 16 [redundant 2, overlap 2, shared sharded] ; tp 4 [sp, dcp 2] >",
        "prefill [device h20-sxm] < pp 2 [micro 2] > | decode [device h20-sxm] < pp 2 [micro 2] >",
        "attn [device h20-sxm] < tp 2 > | moe [shared replicated, device h20-sxm] < ep 4 >",
    ],
)
def test_options_in_their_place_are_quiet(text: str) -> None:
    assert judged(text) == ()
