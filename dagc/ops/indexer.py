"""The choice of positions that a token attends to (DeepSeek sparse attention).

It scores each position before a token, or each compressed entry, against a cached key: 2 · heads · width FLOPs a pair
(DeepSeek-V3.2-Exp, 2025), a kernel that takes its time by the formula of prefill (`dagc.ops.attention_core`). Before it
and after it lie small kernels, which are one operator here: norm of keys, rotary embedding, rotation and quantisation
of both, weights of heads, the write of keys, and the choice of the best.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.catalog.calibration import Work
from dagc.catalog.dtype import Dtype
from dagc.ops.elementwise import Elementwise
from dagc.ops.lazy import lazy
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.op import Computation, OpKind, Setting, Sizes


@dataclass(frozen=True, eq=False)
class IndexerInputs(Elementwise):
    """What makes the queries and keys of the indexer of those that its products give, and chooses by its scores."""

    name = "indexer_inputs"
    title = "queries and keys of the indexer"
    keeps = "t"
    own_regimes = ("indexer/inputs", "elementwise")


@dataclass(frozen=True, eq=False)
class IndexerScores(Computation):
    """Scores of the positions, choice of the best.

    By rank: `tokens`, `sequences`, `positions` before them, and `pairs` of both. There is a key for each `ratio`
    positions; `position_bytes` are its bytes a position, `arithmetic` is the type in which scores are computed.
    """

    tokens: Load
    sequences: Load
    positions: Load
    pairs: Load
    heads: int
    head_dim: int
    ratio: int
    position_bytes: float
    arithmetic: Dtype = Dtype.FP8

    name = "indexer"
    work = Work.ATTENTION
    title = "scores of the positions, choice of the best"
    keeps = "t"
    family = OpKind.ATTENTION
    own_regimes = ("indexer", "elementwise")

    @property
    def dtype(self) -> Dtype:
        """The type of the scores."""
        return self.arithmetic

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """Of the fullest rank; the context in keys."""
        context = max_rank(self.positions / self.ratio)
        return (("queries", max_rank(self.tokens)), ("context", context), ("heads", self.heads))

    @lazy
    def flops(self) -> Load:
        """2 for each element of a key, head and pair."""
        return compress_uniform(2.0 * self.heads * self.head_dim * self.pairs / self.ratio)

    @lazy
    def memory_bytes(self) -> Load:
        """Keys."""
        return compress_uniform(self.positions * self.position_bytes)

    def sizes(self, setting: Setting) -> Sizes:
        """Heads and width; queries and sequences are those of the fullest rank."""
        counts = ("queries", float(max_rank(self.tokens))), ("sequences", float(max_rank(self.sequences)))
        return (*counts, ("heads", float(self.heads)), ("width", float(self.head_dim)))

    @lazy
    def inputs(self) -> dict[str, Load]:
        """Pairs of a token and a key."""
        return {"pairs": compress_uniform(self.pairs / self.ratio)}
