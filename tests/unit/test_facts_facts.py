"""Blocks of a file and of the command line become facts."""

from __future__ import annotations

from pathlib import Path

from dagc.diag.diagnostic import Diagnostic
from dagc.facts.facts import declare_facts
from dagc.plan.plan import Facts
from dagc.source import Source
from dagc.syntax.parser import parse, parse_fragment
from dagc.syntax.tree import Block


def declare(text: str, **options: str) -> tuple[Facts | None, tuple[Diagnostic, ...]]:
    parsed = parse(Source("plan.moe", text))
    assert parsed.file is not None, parsed.diagnostics
    return declare_facts(parsed.file, tuple(_option(keyword, given) for keyword, given in options.items()), Path())


def _option(keyword: str, text: str) -> Block:
    block, problems = parse_fragment(keyword, Source(f"--{keyword}", text))
    assert block is not None, problems
    return block


def good(text: str, **options: str) -> Facts:
    facts, problems = declare(text, **options)
    assert problems == ()
    assert facts is not None
    return facts


def codes(text: str, **options: str) -> list[str]:
    return [p.code.code for p in declare(text, **options)[1]]


def test_a_bare_strategy_has_defaults_and_says_so() -> None:
    facts = good("pp 4 < ep 16 ; tp 2 >")
    assert facts.defaulted == ("model", "cluster", "workload")
    assert (facts.model.name, facts.cluster.name, facts.cluster.gpus) == ("deepseek-v3", "h100-sxm", None)
    assert (facts.workload.batch, facts.workload.prompt, facts.workload.output) == (128, 1024, 128)


def test_what_is_written_is_not_defaulted() -> None:
    facts = good("model deepseek-v3\ncluster h20 x 8\nworkload { batch 8 }\nep 8")
    assert facts.defaulted == ()
    assert (facts.model.name, facts.cluster.gpus, facts.workload.batch) == ("deepseek-v3", 8, 8)


def test_the_command_line_replaces_the_file() -> None:
    facts = good("model mixtral-8x7b\nworkload { batch 8 }\nep 8", model="deepseek-v3", cluster="h20 x 16")
    assert (facts.model.name, facts.cluster.gpus, facts.workload.batch) == ("deepseek-v3", 16, 8)
    assert facts.defaulted == ()


def test_a_replaced_block_is_not_read() -> None:
    assert codes("model mixtral-9x9b\nep 8", model="mixtral-8x7b") == []


def test_a_block_given_twice() -> None:
    _, (problem,) = declare("workload { batch 32 }\nworkload { batch 64 }\nep 8")
    assert problem.code.code == "N115"
    assert problem.span is not None and "64" in problem.span.text
    assert "32" in problem.labels[0].span.text


def test_claims_go_to_their_strategy() -> None:
    facts = good(
        "strategy a = ep 8\nstrategy b = ep 4\nclaims b { gpus 4 }\nclaims a { gpus 8 }\nclaims b { stages 1 }"
    )
    assert [claim.name for claim in facts.claims_of("b")] == ["gpus", "stages"]
    assert [claim.name for claim in facts.claims_of("a")] == ["gpus"]


def test_claims_of_no_strategy() -> None:
    _, (problem,) = declare("strategy option1 = ep 8\nclaims option2 { gpus 4 }")
    assert problem.code.code == "N116"
    assert problem.span is not None and problem.span.text == "option2"
    assert (problem.help, problem.notes) == ((), ("the plan's strategies are option1",))
    _, (problem,) = declare("strategy wide1 = ep 8\nclaims wyde1 { gpus 4 }")
    assert problem.help == ("did you mean `wide1`?",)


def test_claims_without_a_name_speak_of_main() -> None:
    assert len(good("ep 8\nclaims { gpus 8 }").claims_of("main")) == 1


def test_devices_of_pools_are_loaded_wherever_they_stand() -> None:
    facts = good("dp 2 < prefill [device h20] < tp 4 > | decode [device mi300x] < tp 8 > >")
    devices = dict(facts.devices)
    assert list(devices) == ["h20", "mi300x"]
    assert devices["h20"].memory_bytes == 96e9


def test_every_place_of_an_unknown_device() -> None:
    _, problems = declare("prefill [device h21] < tp 4 > | decode [device h22] < tp 8 >")
    assert [p.code.code for p in problems] == ["N110", "N110"]
    assert [p.span.text for p in problems if p.span] == ["h21", "h22"]


def test_all_problems_of_all_blocks_in_one_run() -> None:
    text = "model mixtral\ncluster h1000\nworkload { batches 3 }\nrequire { tttft <= 3 s }\nep 8\nclaims x { gpus 3 }"
    assert codes(text) == ["N110", "N110", "N111", "N131", "N116"]


def test_requirements_do_not_stand_in_the_way_of_facts() -> None:
    facts, problems = declare("require { tttft <= 3 s    ttft <= 10 s }\nep 8")
    assert [p.code.code for p in problems] == ["N131"]
    assert facts is not None
    assert [r.name for r in facts.requirements] == ["ttft"]
