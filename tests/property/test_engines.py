"""What holds of every strategy and engine: flags read back to the same sizes, refusals offer what is accepted."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.degrees import Degrees, Parallelism
from dagc.diag.diagnostic import Family
from dagc.driver.check import check
from dagc.driver.launch import launch
from dagc.engines.flags import write_flags
from dagc.engines.instance import Command, Host, Instance
from dagc.engines.nearest import nearest
from dagc.engines.registry import engine_names, get_engine
from dagc.engines.runtime import LayerSplit
from dagc.export.launch.yaml_text import yaml_text
from dagc.notation.spelling import spell
from dagc.source import Source
from dagc.syntax.printer import format_strategy
from tests.property.test_plan import ATTENTION, EXPERTS, FOLD, LEGAL, SERVICE
from tests.unit.planning import deployment

DEGREES = st.sampled_from([1, 2, 3, 4, 8])
CUTS = st.tuples(DEGREES, DEGREES, DEGREES)


@st.composite
def sizes(draw: st.DrawFn, with_experts: bool = True) -> Parallelism:
    """Any two cuts of as many ranks: the second deals out the prime factors of the first anew."""
    tp, cp, dp = draw(CUTS)
    attention = Degrees(tp=tp, cp=cp, dp=dp)
    cut, left = [1, 1, 1], attention.width
    for prime in (2, 3):
        while left % prime == 0:
            cut[draw(st.integers(0, 2))] *= prime
            left //= prime
    experts = Degrees(tp=cut[0], ep=cut[1], dp=cut[2]) if with_experts else None
    return Parallelism(attention, experts, draw(DEGREES), draw(DEGREES))


def words_of(command: Command) -> tuple[str, ...]:
    """Tokens, and the words of the settings file behind them."""
    return (*command.tokens, *(yaml_text(dict(command.file)).split() if command.file else ()))


@given(st.sampled_from(engine_names()), sizes())
def test_what_is_expressible_is_read_back_to_the_same_sizes(engine: str, wanted: Parallelism) -> None:
    """And what is not has something near that is, on as many GPUs."""
    settings = get_engine(engine).settings_of(wanted)
    if isinstance(settings, str):
        found = nearest(get_engine(engine), wanted)
        assert found is not None
        assert (found.stages, found.replicas, found.gpus) == (wanted.stages, wanted.replicas, wanted.gpus)
        settings, wanted = get_engine(engine).settings_of(found), found
    assert not isinstance(settings, str)
    one = get_engine(engine).command(Instance(wanted), settings, Host("some/model", 8, 8))
    assert get_engine(engine).read(words_of(one)).sizes == replace(wanted, replicas=1)
    keys = {flag.setting for flag in get_engine(engine).flags if flag.is_key}
    assert one.flags == write_flags(get_engine(engine).flags, {k: v for k, v in settings.items() if k not in keys})


@given(st.sampled_from(engine_names()), LEGAL)
def test_every_strategy_has_flags_that_say_its_sizes_or_reasons(engine: str, text: str) -> None:
    """Over the whole path from text to tokens, with and without a model's shapes."""
    for model in ("model m { experts 24 { top 2 } }", "model qwen3-30b-a3b"):
        started = launch(Source("plan.moe", f"{model}\nengine {engine}\n{text}"))
        for one in started.launched:
            assert bool(one.refusals) != bool(one.services)
            for service in one.services:
                back = get_engine(engine).read(words_of(service.command))
                assert back.world == service.gpus
            assert one.refusals or sum(s.gpus * s.instances for s in one.services) == one.gpus


@given(st.one_of(FOLD, EXPERTS, ATTENTION.map(lambda text: f"{text} ; ep 2"), SERVICE))
def test_sizes_are_written_as_a_strategy_that_means_them(text: str) -> None:
    found = deployment(text)
    service = found.services[0]
    if len(service.pools) == 1:
        attention, experts = service.pools[0].attention, service.pools[0].experts
        assert attention is not None and experts is not None
        wanted = Parallelism(attention.degrees, experts.degrees, service.stages, found.replicas)
        again = deployment(format_strategy(spell(wanted, Source("a", "").span(0, 0))))
        pool = again.services[0].pools[0]
        assert pool.attention is not None and pool.experts is not None
        assert (again.gpus, again.replicas, again.services[0].stages) == (found.gpus, found.replicas, service.stages)
        assert (pool.attention.degrees, pool.experts.degrees) == (attention.degrees, experts.degrees)


@given(st.sampled_from(engine_names()), st.lists(st.text(max_size=12), max_size=8))
def test_any_tokens_are_read(engine: str, tokens: list[str]) -> None:
    found = get_engine(engine).read(tokens)
    assert (found.sizes is None) == (found.refusal is not None) == (found.world is None)


FLAG_WORDS = st.sampled_from(
    [
        "-tp",
        "--tp",
        "--ep",
        "--ep-size",
        "--dp",
        "--enable-dp-attention",
        "--tp_size",
        "1",
        "0",
        "3",
        "8",
        "=",
        "--tp=2",
    ]
)


@given(st.sampled_from(engine_names()), st.lists(FLAG_WORDS, max_size=10))
def test_any_order_of_flags_is_read(engine: str, tokens: list[str]) -> None:
    found = get_engine(engine).read(tokens)
    assert (found.sizes is None) == (found.refusal is not None)


@given(
    st.sampled_from(engine_names()),
    st.dictionaries(st.sampled_from(["tp", "pp", "dp", "ep", "cp"]), st.integers(-1, 2**20)),
)
def test_any_degrees_are_counted(engine: str, degrees: dict[str, int]) -> None:
    found = get_engine(engine).count(degrees)
    assert (found.sizes is None) == (found.refusal is not None)
    if found.sizes is not None:
        assert found.world == found.sizes.gpus
        assert found.sizes.experts is not None
        assert found.sizes.experts.width == found.sizes.attention.width


@given(st.sampled_from(list(LayerSplit)), st.integers(1, 300), st.integers(1, 64))
def test_layers_are_split_whole_and_by_one_at_most(policy: LayerSplit, layers: int, stages: int) -> None:
    held = policy.over_stages(layers, stages)
    assert (len(held), sum(held)) == (stages, layers)
    assert max(held) - min(held) <= 1


@given(st.sampled_from(engine_names()), sizes(with_experts=False))
def test_a_dense_model_has_flags_too(engine: str, wanted: Parallelism) -> None:
    found = get_engine(engine).express(Instance(wanted))
    if not isinstance(found, str):
        back = (
            get_engine(engine)
            .read(words_of(get_engine(engine).command(Instance(wanted), found, Host("m", 8, 8))))
            .sizes
        )
        assert back is not None
        assert (back.attention, back.stages) == (wanted.attention, wanted.stages)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(engine_names()), LEGAL)
def test_every_plan_under_an_engine_is_checked_to_the_end(engine: str, text: str) -> None:
    """Graphs and timelines under an engine's numbers keep their invariants: no V code."""
    facts = f"model qwen3-30b-a3b {{ layers 7 }}\ncluster h100-sxm x 4096\nengine {engine}\n"
    found = check(Source("plan.moe", facts + text))
    assert not [d.message for d in found.diagnostics if d.code.family is Family.INVARIANT]
