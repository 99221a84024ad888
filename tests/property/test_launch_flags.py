"""Every command that is printed is one that the engine's own parser takes, and it says the strategy that was priced."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dagc.degrees import AxisKind
from dagc.driver.launch import Launched, launch, launch_files
from dagc.driver.read import read
from dagc.engines.engine import Engine
from dagc.engines.recorded import recorded_flags
from dagc.engines.registry import engine_names, get_engine, versions
from dagc.export.launch.yaml_text import yaml_text
from dagc.plan.deployment import Phase
from dagc.plan.layout import Layout
from dagc.plan.placement import placed
from dagc.source import Source
from tests.harness.effort import examples
from tests.harness.engine_parsers import CHECKS, parsed, vllm_ranks
from tests.property.test_plan import LEGAL
from tests.unit.planning import deployment

SERVERS = [one for name in engine_names() for one in versions(name) if one.is_server]
NEWEST = [get_engine(name) for name in engine_names() if get_engine(name).is_server]
MODELS = ("m { experts 24 { top 2 } }", "qwen3-30b-a3b", "deepseek-v3", "deepseek-v3.2", "gpt-oss-120b")
LOADS = (
    "",
    "workload { batch 3000 prompt 1024 to 4096 output 128 draft 2 accept 70 % }",
    "workload { concurrency 64 prompt 9000 output 128 cached 40 % chunk 2048 }",
)
CLUSTERS = ("", "cluster h100-sxm x 4096", "cluster gb200-nvl72 x 1152")
GPUS_OF_A_MACHINE = (8, 8, 4)
"""A compute tray of GB200 NVL72 has two boards of two GPUs."""
KNOWN = (
    "tp 1",
    "tp 2",
    "tp 4",
    "tp 8",
    "ep 4",
    "ep 8",
    "ep 8 ; tp 8",
    "ep 2 < tp 4 > ; tp 8",
    "ep 8 ; dp 4 < tp 2 >",
    "ep 8 ; dp 2 < tp 4 >",
    "ep 16",
    "ep 16 ; tp 16",
    "ep 16 ; dp 2 < tp 8 >",
    "ep 16 ; dp 4 < tp 4 >",
    "ep 16 ; tp 2",
    "ep 16 ; cp 2 < tp 8 >",
    "ep 24",
    "ep 32",
    "ep 32 ; dp 4 < tp 8 >",
    "ep 32 ; dp 2 < tp 16 >",
    "ep 32 [redundant 32]",
    "ep 48",
    "ep 64",
    "ep 64 [redundant 64]",
    "ep 64 ; dp 8 < tp 8 >",
    "ep 72",
    "ep 96",
    "ep 128",
    "ep 144",
    "ep 256",
    "ep 288 [redundant 32]",
    "pp 2 < tp 8 >",
    "pp 2 < ep 8 >",
    "pp 2 < ep 8 ; tp 8 >",
    "pp 2 < ep 16 ; dp 2 < tp 8 > >",
    "pp 3 < ep 8 ; tp 8 >",
    "pp 4 < tp 2 >",
    "pp 4 < tp 16 >",
    "pp 4 < ep 16 ; tp 2 >",
    "pp 4 < ep 8 >",
    "pp 4 < ep 2 ; tp 2 >",
    "pp 4 [layers 16 15 15 15] < ep 8 ; tp 8 >",
    "pp 5 < ep 4 >",
    "pp 8 < tp 1 >",
    "pp 16 < ep 8 ; tp 8 >",
    "dp 2 < ep 8 ; tp 8 >",
    "dp 3 < tp 8 >",
    "dp 4 < ep 8 >",
    "tp 8 [dcp 2]",
    "ep 16 ; tp 16 [dcp 4]",
    "ep 8 [overlap 2]",
    "pp 2 < ep 8 [overlap 2] >",
    "ep 16 [overlap 2] ; tp 2",
    "cp 2 < tp 8 >",
    "pp 2 < cp 2 < tp 4 > ; ep 8 >",
    "ep 12 ; tp 2",
    "pp 2 < ep 6 ; tp 2 >",
    "prefill < dp 3 < ep 8 ; tp 4 > > | decode < ep 32 [redundant 32] >",
    "prefill < pp 2 < ep 8 > > | decode < ep 16 ; tp 2 >",
    "prefill < ep 16 > | decode < dp 2 < ep 16 > >",
)
"""Sixty: widths of 1 to 320 GPUs, stages, both cuts of the experts, options, pools."""
STRATEGIES = st.one_of(LEGAL, st.sampled_from(KNOWN))


def plan_of(engine: Engine, text: str, model: str, load: str, cluster: str) -> str:
    named = f'{engine.name} {{ version "{engine.version}" }}'
    return f"model {model}\nengine {named}\n{cluster}\n{load}\nstrategy main = {text}\n"


def started(engine: Engine, text: str, model: str, load: str = "", cluster: str = "") -> list[Launched]:
    return list(launch(Source("plan.moe", plan_of(engine, text, model, load, cluster))).launched)


def check_commands(engine: Engine, one: Launched, machine: int) -> int:
    """By the table of the engine's own parser, on every node, and by its own checks of values together; how many."""
    for service in one.services:
        command = service.command
        assert command.nodes * command.gpus == service.gpus
        assert command.gpus <= machine
        flags = parsed(engine.name, engine.version, command.tokens)
        CHECKS[engine.name](engine.version, flags, command.nodes, command.gpus)
        if command.worker_tokens and command.worker_tokens[0] == command.program[0]:
            more = parsed(engine.name, engine.version, command.worker_tokens)
            assert {name: value for name, value in more.items() if name in flags} == flags
            if engine.name == "vllm" and command.nodes > 1:
                ranks = [rank for node in range(command.nodes) for rank in vllm_ranks(more, node, machine)]
                assert sorted(ranks) == list(range(service.gpus))
        keys = recorded_flags(engine.name, engine.version)
        assert {key for key, _ in command.file} <= {name for name in keys if not name.startswith("-")}
    return len(one.services)


@pytest.mark.parametrize("engine", SERVERS, ids=lambda one: f"{one.name}-{one.version}")
def test_an_engine_takes_every_flag_of_known_strategies(engine: Engine) -> None:
    """Over several nodes, with pools, redundant experts, overlap, drafts; a third at least is expressible in each.

    Every third strategy: the next test has them all.
    """
    known = KNOWN[SERVERS.index(engine) % 3 :: 3]
    counts = [
        check_commands(engine, one, GPUS_OF_A_MACHINE[1 + number % 2])
        for number, text in enumerate(known)
        for one in started(engine, text, "deepseek-v3", LOADS[1 + number // 2 % 2], CLUSTERS[1 + number % 2])
    ]
    assert len(counts) == len(known) == 20
    assert sum(map(bool, counts)) >= len(counts) / 3


@pytest.mark.slow
@pytest.mark.parametrize("engine", SERVERS, ids=lambda one: f"{one.name}-{one.version}")
def test_known_strategies_under_all_models_loads_and_clusters(engine: Engine) -> None:
    for model, load, cluster, text in product(MODELS, LOADS, (1, 2), KNOWN):
        for one in started(engine, text, model, load, CLUSTERS[cluster]):
            check_commands(engine, one, GPUS_OF_A_MACHINE[cluster])


PLANTED = {
    "a flag that no version has": ("--expert-size", "8"),
    "a value that is no count": ("--{tp}", "x"),
    "a count left out": ("--{tp}",),
    "another size": ("--{tp}", "3"),
    "a word that is none of the choices": ("{choice}", "x"),
}
NAMES = {"vllm": "tensor-parallel-size", "sglang": "tp-size", "trtllm": "tp_size"}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("engine", SERVERS, ids=lambda one: f"{one.name}-{one.version}")
def test_a_planted_error_is_found(engine: Engine, planted: tuple[str, ...]) -> None:
    """Or the tests before could not fail."""
    (one,) = started(engine, "ep 16 ; tp 16", "deepseek-v3", LOADS[1], CLUSTERS[1])
    (service,) = one.services
    table = recorded_flags(engine.name, engine.version)
    choice = next(flag.name for flag in table.values() if flag.values and flag.name.startswith("--"))
    wrong = tuple(word.format(tp=NAMES[engine.name], choice=choice) for word in planted)
    assert check_commands(engine, one, 8) == 1
    changed = replace(service, command=replace(service.command, placed=(*service.command.placed, *wrong)))
    with pytest.raises((AssertionError, ValueError)):
        check_commands(engine, replace(one, services=(changed,)), 8)


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("ep 32", "$((NODE * 4))", "$((NODE * 8))"),
        ("ep 32", "4", "8"),
        ("pp 2 < ep 16 ; dp 2 < tp 8 > >", "2", "4"),
    ],
    ids=["start", "local ranks", "nodes"],
)
def test_ranks_of_nodes_that_do_not_add_up_are_found(text: str, wrong: str, right: str) -> None:
    (one,) = started(get_engine("vllm"), text, "deepseek-v3", "", CLUSTERS[1])
    (service,) = one.services
    command = service.command
    assert right in (*command.placed, *command.workers)
    placed_, workers = (
        tuple(wrong if word == right else word for word in words) for words in (command.placed, command.workers)
    )
    changed = replace(service, command=replace(command, placed=placed_, workers=workers))
    with pytest.raises(AssertionError):
        check_commands(get_engine("vllm"), replace(one, services=(changed,)), 8)


@settings(max_examples=examples(30, 600), deadline=None)
@given(st.sampled_from(SERVERS), STRATEGIES, st.sampled_from(MODELS), st.sampled_from(LOADS), st.sampled_from(CLUSTERS))
def test_an_engine_takes_every_flag_that_is_printed(
    engine: Engine, text: str, model: str, load: str, cluster: str
) -> None:
    # Whether the attention of a model without fields is sparse, which SGLang asks for under cp, is not known.
    assume(not (engine.name == "sglang" and "cp" in text and model.startswith("m ")))
    for one in started(engine, text, model, load, cluster):
        check_commands(engine, one, GPUS_OF_A_MACHINE[CLUSTERS.index(cluster)])


@settings(max_examples=examples(25, 400), deadline=None)
@given(st.sampled_from(NEWEST), STRATEGIES)
def test_a_command_is_read_back_as_the_strategy(engine: Engine, text: str) -> None:
    """As `dagc read` reads it: the same size and domains, and ranks at the same places under the engine."""
    for one in started(engine, text, "m { experts 96 { top 2 } layers 60 }"):
        for service in one.services:
            words = service.command.tokens
            words += tuple(yaml_text(dict(service.command.file)).split()) if service.command.file else ()
            # The settings file is read as the words that it has.
            words = tuple(word for word in words if word not in ("--extra_llm_api_options", "settings.yaml"))
            flags = " ".join(word for word in words if not word.startswith(('{"', "$")))
            found, problems = read(Source("TEXT", flags), engine=engine.name)
            if service.gpus == 1:
                continue  # no degree is written, and nothing is to be read
            assert found is not None, [problem.message for problem in problems]
            index = found.of_engine(engine.name)
            assert index is not None
            back = found.readings[index - 1]
            assert back.gpus == service.gpus
            wanted = deployment(text)
            (own,) = (s for s in wanted.services if service.phase in (Phase.BOTH.value, s.phase.value))
            first = placed(replace(wanted, services=(own,)), engine).services[0]
            again = placed(back.deployment, engine).services[0]
            assert first.stages == again.stages
            for pool, other in ((first.pools[0], again.pools[0]),):
                assert groups(pool.attention) == groups(other.attention)
                assert groups(pool.experts) == groups(other.experts)
                assert (pool.stage_stride, pool.run, pool.run_stride) == (
                    other.stage_stride,
                    other.run,
                    other.run_stride,
                )


def groups(layout: Layout | None) -> list[list[tuple[int, ...]]]:
    assert layout is not None
    return [sorted(tuple(sorted(row)) for row in layout.groups((kind,)).tolist()) for kind in AxisKind]


@settings(max_examples=examples(8, 150), deadline=None)
@given(st.sampled_from(SERVERS), STRATEGIES, st.sampled_from(["shell", "docker", "slurm", "kubernetes", "dynamo"]))
def test_every_form_has_files_or_a_reason(engine: Engine, text: str, form: str) -> None:
    for one in started(engine, text, "deepseek-v3"):
        files = {} if one.refusals else launch_files(one, form)
        assert one.refusals or files
        assert files == (launch_files(one, form) if files else {})


@pytest.mark.parametrize("engine", SERVERS, ids=lambda one: f"{one.name}-{one.version}")
def test_flags_of_parallelism_are_recorded(engine: Engine) -> None:
    """All that are written; other spellings may be those of other versions."""
    table = recorded_flags(engine.name, engine.version)
    assert [flag.name for flag in engine.flags if flag.name.partition(".")[0] not in table] == []
