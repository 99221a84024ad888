"""Degrees, GPUs and advice: at the limit they are quiet, one step past it they say what is wrong and what fits."""

from __future__ import annotations

import pytest

from dagc.check.static import ADVISING, check_plan, refusal
from dagc.diag.diagnostic import Diagnostic
from tests.unit.planning import codes, found, plan

MOE = "model m { layers 16    experts 16 { top 2 } }\n"
SHAPED = (
    "model m { layers 16    hidden 2048    vocab 32000    attention { heads 24    kv_heads 8    head_dim 64 }\n"
    "    experts 16 { top 2    ffn 6144 }    dense_ffn 1200    first_dense 1 }\n"
)
MLA = (
    "model m { layers 16    hidden 2048    vocab 32000    experts 16 { top 2    ffn 6144 }\n"
    "    attention { kind mla    heads 24    kv_lora 512    q_lora 0    qk_nope 128    qk_rope 64    v_head 128 } }\n"
)
DENSE = "model llama-3.1-70b\n"
BATCH = "workload { batch 8    prompt 1024    output 128 }\n"


def cluster(gpus: int) -> str:
    """A cluster of so many GPUs, eight to a node."""
    return f"cluster gpu-64gb x {gpus}\n"


# Blocks, a strategy at the limit, one past it, the code, and the value that the help offers.
LIMITS = [
    (MOE, "pp 16", "pp 17", "D103", "`pp 16` (16 GPUs)"),
    (MOE, "pp 2 [layers 9 7]", "pp 3 [layers 9 7]", "D104", "[layers 6 5 5]"),
    (MOE, "pp 2 [layers 9 7]", "pp 2 [layers 9 8]", "D105", "[layers 9 7]"),
    (MOE + BATCH, "dp 2 < pp 2 [micro 4] >", "dp 2 < pp 2 [micro 5] >", "D106", "micro 4"),
    (MOE + BATCH, "dp 8", "dp 9", "D107", "`dp 8` (8 GPUs)"),
    (MOE, "ep 16", "ep 17", "D203", "`ep 16` (16 GPUs)"),
    (MOE, "ep 18 [redundant 2]", "ep 19 [redundant 2]", "D203", "`ep 18` (18 GPUs)"),
    (MOE, "ep 2 [redundant 16]", "ep 2 [redundant 17]", "D204", "redundant 16"),
    (DENSE, "tp 8", "ep 8", "D201", "`tp 8`"),
    (DENSE, "attn < tp 2 >", "attn < tp 2 > | moe < tp 4 >", "D202", "leave `moe` out"),
    (DENSE, "ep 1", "moe < ep 8 >", "D201", "`tp 8`"),
    (SHAPED, "tp 8", "tp 5", "D301", "`tp 4` (4 GPUs) or `tp 8` (8 GPUs)"),
    (SHAPED, "tp 4", "tp 6", "D302", "`tp 4` (4 GPUs) or `tp 8` (8 GPUs)"),
    (SHAPED, "ep 2 < tp 3 > ; tp 2", "ep 2 < tp 5 > ; tp 2", "D303", "`tp 4` (8 GPUs) or `tp 6` (12 GPUs)"),
    (SHAPED.replace("1200", "1208"), "tp 4", "tp 24", "D304", "`tp 8` (8 GPUs)"),
    (SHAPED, "tp 8 [dcp 1]", "tp 8 [dcp 3]", "D305", "`dcp 2` or `dcp 4`"),
    (MOE + "workload { batch 8    prompt 16    output 1 }\n", "cp 16", "cp 17", "D306", "`cp 16` (16 GPUs)"),
    (MOE + cluster(64), "pp 4 < ep 16 >", "dp 2 < pp 4 < ep 16 > >", "G101", "a cluster of 128 GPUs"),
]


def errors(text: str) -> list[Diagnostic]:
    """Errors alone."""
    return [diagnostic for diagnostic in found(text) if diagnostic.is_error]


@pytest.mark.parametrize(("blocks", "right", "wrong"), [limit[:3] for limit in LIMITS])
def test_what_refuses_is_the_first_that_stops(blocks: str, right: str, wrong: str) -> None:
    """A search asks for that alone; so no advice may ever stop a plan."""
    for strategy in (right, wrong):
        one = plan(blocks + strategy)
        assert refusal(one) == next((problem for problem in check_plan(one) if problem.stops), None)
        assert refusal(one, ADVISING) is None


@pytest.mark.parametrize(("blocks", "right", "wrong", "code", "help"), LIMITS)
def test_limits(blocks: str, right: str, wrong: str, code: str, help: str) -> None:
    assert errors(blocks + right) == []
    (error,) = errors(blocks + wrong)
    assert error.code.code == code
    assert help in " ".join(error.help)


def test_ep_over_experts_shows_where_the_experts_are_and_what_the_claim_meant() -> None:
    """16 layers over 8 stages are 2 a stage, and 2 × 16 = 32 is where the degree came from."""
    model = "model m {\n    layers 16\n    experts 16 { top 2 }\n}\n"
    text = f"{model}strategy option2 = pp 8 < ep 32 >\nclaims option2 {{ gpus 64 }}\n"
    (error,) = errors(text)
    assert error.code.code == "D203"
    assert error.message == "`ep 32` has more ranks than a layer has experts"
    assert error.label == "16 of the 32 ranks would hold none"
    assert [(label.span.text, label.text) for label in error.labels] == [
        ("experts 16", "16 experts in each MoE layer, no redundant ones")
    ]
    assert "32 experts of a stage's 2 layers" in error.notes[0]
    assert error.help == ("use `ep 16` (128 GPUs), or `ep 8` for the 64 GPUs of the claim",)


def test_a_cluster_that_is_too_small_shows_the_proof() -> None:
    (error,) = errors(MOE + cluster(64) + "dp 2 < pp 4 < ep 16 ; tp 2 > >")
    assert "needs 128 GPUs, and the cluster has 64" in error.message
    assert error.notes[0] == "`ep 16 ; tp 2`: both on the same GPUs: lcm(16, 2) = 16"
    assert [label.text for label in error.labels] == ["64 GPUs here"]
    assert "`dp 1` (64 GPUs)" in error.help[0]


def test_a_pool_with_its_own_device_is_not_of_the_cluster() -> None:
    text = MOE + cluster(8) + "prefill [device h20-sxm] < ep 16 > | decode < ep 8 >"
    assert errors(text) == []


def test_a_wrong_degree_is_not_followed_by_what_it_makes_of_the_size() -> None:
    assert codes(found(MOE + cluster(64) + "pp 16 < ep 256 >")) == ["D203"]


def test_copies_of_key_value_heads_are_fine() -> None:
    """24 heads over 24 ranks with 8 KV heads: each is copied to 3 ranks. 1200 / 24 = 50."""
    assert errors(SHAPED + "tp 24") == []


def test_latent_attention_has_no_key_value_heads_to_divide() -> None:
    assert errors(MLA + "tp 6") == []
    assert codes(tuple(errors(MLA + "tp 5"))) == ["D301"]


def test_what_is_not_stated_is_not_judged() -> None:
    assert errors("model m { layers 16 }\nep 1000") == []
    assert errors("model m { experts 16 }\npp 1000") == []


ADVICE = [
    (MOE, "pp 4", "pp 3", "W101"),
    (MOE, "pp 3 [layers 6 5 5]", "pp 5", "W101"),
    (MOE, "ep 6 [redundant 2]", "ep 6", "W102"),
    (MOE + BATCH, "dp 4", "dp 3", "W103"),
    (MOE + BATCH.replace("8", "16", 1), "ep 4", "ep 4 ; dp 3", "W103"),
    (MOE + BATCH, "ep 8", "ep 16", "W133"),
    (MOE + cluster(64), "dp 4 < ep 16 >", "ep 16", "W104"),
    (SHAPED + cluster(24), "dp 3 < tp 8 >", "tp 24", "W105"),
    (MOE + cluster(18), "dp 2 < tp 4 | ep 4 >", "dp 3 < tp 4 | ep 2 >", "W105"),
    (MOE + cluster(10), "pp 2 < tp 3 | ep 2 >", "", "W105"),  # 0-2 and 5-7, on one node
    (MOE, "ep 8 ; tp 4", "ep 6 ; tp 4", "W106"),
    (SHAPED, "tp 24 [dcp 3]", "tp 8 [dcp 2]", "W107"),
    (MLA, "tp 8 [dcp 8]", "", "W107"),
]


@pytest.mark.parametrize(("blocks", "quiet", "loud", "code"), ADVICE)
def test_advice(blocks: str, quiet: str, loud: str, code: str) -> None:
    assert code not in codes(found(blocks + quiet))
    if loud:
        assert code in codes(found(blocks + loud))


def test_a_tp_group_may_cross_by_where_it_begins() -> None:
    """Stages of 6 GPUs on nodes of 8: the tp pair at 6-7 is whole, the group of 3 at 6-8 is not."""
    crossing = [d for d in found(MOE + cluster(12) + "pp 2 < ep 2 < tp 3 > >") if d.code.code == "W105"]
    assert [d.label for d in crossing] == ["1 of 4 tp groups over the slower network between nodes"]
    assert "W105" not in codes(found(MOE + cluster(12) + "pp 2 < ep 3 < tp 2 > >"))


def test_advice_about_the_workload_and_the_cluster_needs_them_stated() -> None:
    assert codes(found(MOE + "dp 3")) == []
