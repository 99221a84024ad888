"""Memory of generated plans: every rank against a list of tensors, the sum against the model, and the largest load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dagc.catalog.attention import AttentionKind
from dagc.catalog.model import FfnKind, ModelShapes
from dagc.catalog.parameters import count, part_stored
from dagc.catalog.part import Part
from dagc.cost.memory import rank_memory
from dagc.driver.memory import memory
from dagc.results.memory import StrategyMemory
from dagc.source import Source
from tests.harness.effort import examples
from tests.unit.planning import plan

Piece = tuple[str, ...]
"""What cannot be cut further here: a matrix of one head, of one expert's shard, some rows of the embedding."""


@dataclass(frozen=True)
class Cut:
    """A strategy of one replica. With `is_nested` the experts are cut by tp inside ep, else by ep on all ranks."""

    stages: int
    tp: int
    ep: int
    is_nested: bool
    redundant: int

    @property
    def width(self) -> int:
        if self.is_nested:
            return self.ep * self.tp
        return next(w for w in range(1, self.ep * self.tp + 1) if w % self.ep == 0 and w % self.tp == 0)

    @property
    def text(self) -> str:
        ep = f"ep {self.ep}" + (f" [redundant {self.redundant}]" if self.redundant else "")
        stage = f"{ep} < tp {self.tp} >" if self.is_nested else f"{ep} ; tp {self.tp}"
        return f"pp {self.stages} < {stage} >" if self.stages > 1 else stage


@st.composite
def models(draw: st.DrawFn) -> str:
    """Widths that 1, 2, 4 and 8 divide, and all else as it comes: odd vocabularies, few KV heads, odd experts."""
    heads = draw(st.sampled_from([8, 16]))
    latent = draw(st.booleans())
    biases = " ".join(f"{name} yes" for name in ("qkv_bias", "out_bias", "sinks", "qk_norm") if draw(st.booleans()))
    attention = f"heads {heads}    kv_heads {draw(st.sampled_from([1, 2, 4, 8]))}    head_dim 16    {biases}"
    if latent:
        q_lora = draw(st.sampled_from(["", "q_lora 48"]))
        attention = f"kind mla    heads {heads}    {q_lora}    kv_lora 32    qk_nope 16    qk_rope 8    v_head 16"
    layers = draw(st.integers(4, 9))
    expert_dtype, tied = draw(st.sampled_from(["bf16", "fp8"])), draw(st.sampled_from(["yes", "no"]))
    dense = draw(st.integers(0, 2))
    experts = f"top 2    ffn {draw(st.sampled_from([16, 64]))}    shared {draw(st.integers(0, 2))}"
    return f"""model m {{
        layers {layers}    hidden 64    vocab {draw(st.integers(100, 300))}
        dtype bf16    expert_dtype {expert_dtype}    tied {tied}
        attention {{ {attention} }}
        experts {draw(st.integers(8, 21))} {{ {experts} }}
        first_dense {dense}    dense_ffn 128
    }}"""


CUTS = st.builds(
    Cut,
    st.integers(1, 4),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2, 3, 4, 8]),
    st.booleans(),
    st.sampled_from([0, 0, 1, 5]),
)


def planned(model: str, cut: Cut, workload: str = "batch 8    prompt 100    output 28") -> str:
    return f"{model}\ncluster h100-sxm x 4096\nworkload {{ {workload} }}\nstrategy a = {cut.text}\n"


def split(total: int, parts: int, index: int) -> range:
    """Which of `total` things are on part `index`, the remainder one each on the first parts."""
    each, rest = divmod(total, parts)
    first = index * each + min(index, rest)
    return range(first, first + each + (1 if index < rest else 0))


def pieces(shapes: ModelShapes, cut: Cut, stage: int, rank: int) -> Iterator[tuple[Part, Piece, int]]:
    """Every piece that one rank holds, with its elements."""
    tp = rank % cut.tp
    for layer in split(shapes.layers, cut.stages, stage):
        yield from layer_pieces(shapes, cut, layer, rank, tp)
    if stage == 0:
        yield from vocabulary(shapes, "embedding", Part.EMBEDDING, cut.tp, tp)
    if stage == cut.stages - 1:
        yield Part.NORMS, ("final norm",), shapes.hidden
        if not shapes.tied or cut.stages > 1:
            name, part = ("embedding", Part.EMBEDDING) if shapes.tied else ("head", Part.HEAD)
            for _, piece, size in vocabulary(shapes, name, part, cut.tp, tp):
                yield Part.HEAD, piece, size


def vocabulary(shapes: ModelShapes, name: str, part: Part, parts: int, tp: int) -> Iterator[tuple[Part, Piece, int]]:
    rows = (shapes.vocab + parts - 1) // parts
    for row in range(tp * rows, (tp + 1) * rows):
        yield part, (name if row < shapes.vocab else "padding", name, str(row)), shapes.hidden


def layer_pieces(shapes: ModelShapes, cut: Cut, layer: int, rank: int, tp: int) -> Iterator[tuple[Part, Piece, int]]:
    name, hidden = str(layer), shapes.hidden
    for part, piece, size in attention_pieces(shapes, cut.tp, tp):
        yield part, (name, *piece), size
    yield Part.NORMS, (name, "norms"), 2 * hidden
    if shapes.layer_kinds()[layer].ffn is FfnKind.DENSE:
        for column in split(shapes.dense_ffn, cut.tp, tp):
            yield Part.DENSE_FFN, (name, "column", str(column)), 3 * hidden
        return
    experts = shapes.experts
    assert experts is not None
    yield Part.ROUTER, (name, "router"), hidden * experts.count
    for column in split(experts.shared_ffn, cut.tp, tp):
        yield Part.SHARED_EXPERTS, (name, "shared", str(column)), 3 * hidden
    ep, shards = (rank // cut.tp, cut.tp) if cut.is_nested else (rank % cut.ep, 1)
    for slot in split(experts.count + cut.redundant, cut.ep, ep):
        for column in split(experts.ffn, shards, tp if cut.is_nested else 0):
            yield Part.EXPERTS, (name, "slot", str(slot), str(column)), 3 * hidden


def attention_pieces(shapes: ModelShapes, parts: int, tp: int) -> Iterator[tuple[Part, Piece, int]]:
    attention, hidden = shapes.attention, shapes.hidden
    if attention.kind is AttentionKind.MLA:
        query = attention.qk_nope + attention.qk_rope
        yield Part.ATTENTION, ("down",), hidden * (attention.q_lora + attention.kv_lora + attention.qk_rope)
        yield Part.NORMS, ("latents",), attention.q_lora + attention.kv_lora
        for head in split(attention.heads, parts, tp):
            up = (attention.q_lora or hidden) * query + attention.kv_lora * (attention.qk_nope + attention.v_head)
            yield Part.ATTENTION, ("head", str(head)), up + attention.v_head * hidden
        return
    wide = attention.head_dim
    for head in split(attention.heads, parts, tp):
        more = (wide if attention.qkv_bias else 0) + (1 if attention.sinks else 0)
        yield Part.ATTENTION, ("head", str(head)), 2 * hidden * wide + more
    copies = max(1, parts // attention.kv_heads)
    for head in split(attention.kv_heads, parts // copies, tp // copies):
        yield Part.ATTENTION, ("kv", str(head)), 2 * (hidden * wide + (wide if attention.qkv_bias else 0))
    yield Part.ATTENTION, ("bias",), hidden if attention.out_bias else 0
    yield Part.NORMS, ("qk norm",), 2 * wide if attention.qk_norm else 0


@given(models(), CUTS)
def test_every_rank_holds_its_tensors(model: str, cut: Cut) -> None:
    """An independent count: tensor by tensor, head by head, over every rank by a plain loop. To the byte."""
    subject = plan(planned(model, cut))
    shapes = subject.facts.model.shapes()
    assert shapes is not None
    assume(shapes.experts is None or cut.ep <= shapes.experts.count)
    (held,) = rank_memory(subject)
    for stage in range(cut.stages):
        for rank in range(cut.width):
            expected = defaultdict[Part, float](float)
            for part, _, size in pieces(shapes, cut, stage, rank):
                expected[part] += size * part_stored(shapes, part).bytes
            found = {part: float(size[stage, min(rank, size.shape[1] - 1)]) for part, size in held.weights.items()}
            assert {p: n for p, n in found.items() if n} == {p: n for p, n in expected.items() if n}


@given(models(), CUTS)
def test_what_all_ranks_hold_less_what_is_held_again_is_the_model(model: str, cut: Cut) -> None:
    """Over all ranks of a replica; each piece counts once, padding and redundant slots not at all."""
    subject = plan(planned(model, cut))
    shapes = subject.facts.model.shapes()
    assert shapes is not None and shapes.experts is not None
    holders = defaultdict[tuple[Part, Piece], int](int)
    elements: dict[tuple[Part, Piece], int] = {}
    for stage in range(cut.stages):
        for rank in range(cut.width):
            for part, piece, size in pieces(shapes, cut, stage, rank):
                holders[part, piece] += 1
                elements[part, piece] = size
    again = defaultdict[Part, float](float)
    for (part, piece), number in holders.items():
        is_extra = piece[0] == "padding" or (part is Part.EXPERTS and int(piece[2]) >= shapes.experts.count)
        is_extra = is_extra or (part is Part.HEAD and piece[0] == "embedding")
        again[part] += (number - (0 if is_extra else 1)) * elements[part, piece] * part_stored(shapes, part).bytes
    (held,) = rank_memory(subject)
    of_model = count(shapes).weight_bytes_by_part
    for part in Part:
        total = held.weights[part].sum() * (cut.width / held.weights[part].shape[1]) if part in held.weights else 0.0
        assert total - again[part] == of_model[part], part


def weighed(text: str) -> StrategyMemory:
    found = memory(Source("plan.moe", text))
    assert not [d.message for d in found.diagnostics if d.is_error]
    return found.strategies[0]


LOADS = st.tuples(st.integers(1, 64), st.integers(1, 5000), st.integers(1, 300), st.sampled_from([1, 16, 64]))


@settings(max_examples=examples(8, 20))
@given(models(), CUTS, LOADS, st.sampled_from([1, 3]), st.integers(2005, 2200))
def test_the_largest_batch_and_context_fit_and_one_more_does_not(
    model: str, cut: Cut, load: tuple[int, int, int, int], replicas: int, megabytes: int
) -> None:
    """Asked anew, with the largest batch in the text, and with one more."""
    batch, prompt, output, block = load

    def text(batch: int, prompt: int) -> str:
        workload = f"batch {batch}    prompt {prompt}    output {output}    block {block}"
        cluster = f"cluster lab {{ gpus 4096    device {{ memory {megabytes} MB }} }}"
        return f"{model}\n{cluster}\nworkload {{ {workload} }}\nstrategy a = dp {replicas} < {cut.text} >\n"

    stated = text(max(batch, replicas), prompt)
    assume(memory(Source("plan.moe", stated)).strategies)
    first = weighed(stated)
    assert first.memory is not None and first.memory.limits is not None
    limits = first.memory.limits
    assert limits.batch is not None and limits.context is not None
    assert first.memory.fits == (limits.batch >= max(batch, replicas)) == (limits.context >= prompt + output)
    check(limits.batch, lambda number: weighed(text(number, prompt)), replicas)
    check(limits.context - output, lambda number: weighed(text(max(batch, replicas), number)), 1)


def check(largest: int, ask: Callable[[int], StrategyMemory], least: int) -> None:
    """`largest` fits and one more does not, as far as a plan may ask for them at all."""
    for number, fits in ((largest, True), (largest + 1, False)):
        if number >= least:
            found = ask(number).memory
            assert found is not None and found.fits is fits


def test_room_for_cache_is_what_a_plan_of_that_length_needs() -> None:
    """One sequence of as many tokens as there is room for fits; a block more does not."""
    head = "model qwen3-30b-a3b\ncluster h100-sxm x 4\n"

    def ask(tokens: int) -> StrategyMemory:
        return weighed(
            f"{head}workload {{ batch 1    prompt {tokens - 1}    output 1    chunk 512 }}\nstrategy a = tp 4\n"
        )

    found = ask(10_000).memory
    assert found is not None
    room = found.pools[0].kv_capacity_tokens
    assert room is not None
    assert [m.fits for m in (ask(room).memory, ask(room + 1).memory) if m] == [True, False]


@pytest.mark.parametrize(
    ("strategy", "shares", "replicas"), [("ep 8", 8, 1), ("dp 2 < ep 4 >", 4, 2), ("pp 2 < ep 4 ; tp 2 >", 2, 1)]
)
def test_room_for_cache_counts_every_replica_and_share_of_dp(strategy: str, shares: int, replicas: int) -> None:
    """With an even batch all shares of a stage are alike, and the stage with least room decides for all stages."""
    facts = "model qwen3-30b-a3b\ncluster h100-sxm x 8\nworkload { batch 64    prompt 1000    output 24 }\n"
    found = weighed(f"{facts}strategy a = {strategy}\n").memory
    assert found is not None
    (pool,) = found.pools
    least = min(one.kv_capacity_tokens for one in pool.classes if one.kv_capacity_tokens is not None)
    assert pool.kv_capacity_tokens_per_replica == shares * least
    assert pool.kv_capacity_tokens == replicas * shares * least
