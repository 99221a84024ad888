"""Operators on each element, which are memory-bound: norms, activation functions, sums, lookups, sampling.

    seconds = launch + bytes / (memory share · bandwidth)

Of short streams the launch is most, so the reached bandwidth rises with the bytes. Arithmetic, where there is much
(recurrent mixers, scores of an indexer), goes at the device's flat achieved share and overlaps. Writes to the cache and
what has no formula of its own are such streams too.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.catalog.dtype import Dtype
from dagc.catalog.part import Part
from dagc.ops.formula import LAUNCH, STREAM, Coefficients, Formula, Inputs, Machine, Terms
from dagc.ops.lazy import lazy
from dagc.ops.load import NOTHING, Load, compress_uniform
from dagc.ops.op import Category, Computation, Lane, OpKind, Setting, kind_of_part

POWER = 8.0
"""Arithmetic of such an operator hardly counts; where it does, the longer of the two decides."""


def stream_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: bytes, and flops that go at the machine's achieved rate."""
    return Terms(
        launch=c["launch"],
        compute=x["flops"] / machine.flops_per_second,
        memory=x["bytes"] / (machine.bytes_per_second * c["memory"]),
        power=POWER,
    )


STREAMED = Formula("stream", (LAUNCH, STREAM), ("bytes",), stream_terms, broadcasts=True)

ELEMENT_FLOPS = 4
"""Arithmetic on one element of a norm or an activation; such operators are memory-bound, so it hardly counts."""

TOKEN_ID = Dtype.FP32
"""In place of a 32-bit integer: four bytes."""

EXPERT_STREAMS = "experts/stream"
"""The regime of activation and sum between and after the products of experts."""


@dataclass(frozen=True, eq=False)
class Elementwise(Computation):
    """Work on `width` elements of each of `rows`, in a part of the model."""

    part: Part
    rows: Load
    width: int
    activation: Dtype

    @property
    def kind(self) -> OpKind:
        """That of its part of the model, unless it has one of its own."""
        return kind_of_part(self.part) if self.family is OpKind.OTHER else self.family

    @property
    def dtype(self) -> Dtype:
        """The type of activations."""
        return self.activation

    @property
    def traffic(self) -> int:
        """Elements read and written for each element."""
        return 2

    @lazy
    def flops(self) -> Load:
        """A few for each element."""
        return compress_uniform(ELEMENT_FLOPS * (self.rows * self.width))

    @lazy
    def memory_bytes(self) -> Load:
        """What is read and written."""
        return compress_uniform(self.rows * self.width * self.traffic * self.activation.bytes)

    def regimes(self, setting: Setting) -> tuple[str, ...]:
        """Those of the operator; between and after the products of experts, first those of whole expert layers."""
        return (EXPERT_STREAMS, *self.own_regimes) if self.part is Part.EXPERTS else self.own_regimes


@dataclass(frozen=True, eq=False)
class Norm(Elementwise):
    """A norm with the addition of the residual fused into it: both are read, both written."""

    name = "norm"
    title = "norm"
    keeps = "tm"
    own_regimes = ("norm", "elementwise")

    @property
    def traffic(self) -> int:
        """Two read, two written."""
        return 4


@dataclass(frozen=True, eq=False)
class HeadNorm(Elementwise):
    """A norm inside attention, of queries and keys or of latents: a kernel that reads them and writes them again."""

    name = "head_norm"
    title = "norm of queries and keys, or of latents"
    keeps = "t"
    own_regimes = ("norm", "elementwise")


@dataclass(frozen=True, eq=False)
class Rotary(Elementwise):
    """Rotary embedding of queries and keys, a kernel that reads them and writes them again."""

    name = "rotary"
    title = "rotary embedding"
    keeps = "t"
    own_regimes = ("rotary", "elementwise")


@dataclass(frozen=True, eq=False)
class Activation(Elementwise):
    """An activation function of `lanes` inputs for each output: two with a gate."""

    lanes: int

    name = "activation"
    title = "activation function"
    keeps = "t"
    own_regimes = ("activation", "elementwise")

    @property
    def traffic(self) -> int:
        """Inputs and an output."""
        return self.lanes + 1


@dataclass(frozen=True, eq=False)
class WeightedSum(Elementwise):
    """The weighted sum of `terms` results of experts for each token."""

    terms: int

    name = "aggregate"
    title = "weighted sum of the chosen experts"
    category = Category.ROUTING
    keeps = "m"
    family = OpKind.ROUTING

    @property
    def traffic(self) -> int:
        """Terms and their sum."""
        return self.terms + 1


@dataclass(frozen=True, eq=False)
class CombinedSum(WeightedSum):
    """The same in the kernel of the combine before it, and so on the lane of communication."""

    title = f"{WeightedSum.title}, by the combine"
    lane = Lane.COMMUNICATION


@dataclass(frozen=True, eq=False)
class Embedding(Elementwise):
    """A lookup in the rank's part of the vocabulary: zero elsewhere."""

    name = "embedding"
    title = "embedding lookup"

    @lazy
    def flops(self) -> Load:
        """None."""
        return NOTHING

    @lazy
    def memory_bytes(self) -> Load:
        """Ids read; rows read and written."""
        return compress_uniform(self.rows * TOKEN_ID.bytes + 2 * (self.rows * self.width) * self.activation.bytes)


@dataclass(frozen=True, eq=False)
class Sampling(Elementwise):
    """A token for each row of logits, which are read."""

    name = "sampling"
    title = "sampling of the next token"
    keeps = "t"
    own_regimes = ("sampling", "elementwise")

    @property
    def traffic(self) -> int:
        """Logits."""
        return 1
