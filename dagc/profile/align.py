"""Kernels of a layer are matched with the operators of a layer of the graph.

Both are sequences. Where each operator is one kernel they are aligned in order, as sequences are by Needleman and
Wunsch (1970): a kernel may be matched with an operator if its name says so (or is the operator's key), at a cost that
grows with the ratio of their times, and a kernel or an operator may stay alone at a cost. Exchanges are aligned apart,
because they run on streams of their own. What an engine does in another order is then paired by kind and time. Casts
before a product are part of it, as they are in the formulas, and so are the parts of a split product and what an
exchange waits for. An operator of which no kernel is left has gone into another one's kernel: the activation and the
second product of experts into their first, a norm into the all-reduce before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations
from math import log

from dagc.profile.kernel_names import AUXILIARY, COMMUNICATION, KernelKind
from dagc.profile.layers import LayerKernel, TraceLayers

_ALONE, _AUXILIARY_ALONE, _OPERATOR_ALONE, _TINY_ALONE = 1.0, 0.02, 1.5, 0.3
"""Costs of a kernel alone, of one that often is, of an operator alone, and of one with less time than `_TINY`."""

_TINY = 0.01
"""Share of a layer."""

_WORST = 3.0
"""Largest cost of a match: a factor of 20 between the times."""

_SWAPPED = 0.5
"""By how much two matches must cost less for an engine to run them the other way round."""

_MOST_ROTATIONS = 40

NCCL = "ncclDevKernel_"
"""What dagc writes before the key of an exchange, which programs know by that name."""


@dataclass(frozen=True, slots=True)
class LayerOperator:
    """An operator of a layer: its key, kinds of kernels that it may be, predicted seconds, and whether it exchanges."""

    key: str
    kinds: frozenset[KernelKind]
    seconds: float
    is_exchange: bool

    @property
    def label(self) -> str:
        """The key without the number of its layer: the name of its kernel in traces that dagc writes."""
        return self.key.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Match:
    """Operators, in the order of the graph, and the kernels that are them."""

    operators: tuple[LayerOperator, ...]
    kernels: tuple[LayerKernel, ...]

    @property
    def predicted(self) -> float:
        """Seconds of the operators."""
        return sum(one.seconds for one in self.operators)

    @property
    def measured(self) -> float:
        """Seconds of the kernels in a layer."""
        return sum(one.seconds * one.often for one in self.kernels)


@dataclass(frozen=True, slots=True)
class Alignment:
    """What belongs together, kernels that are no operator, operators that are no kernel, and the cost of all of it."""

    matches: tuple[Match, ...]
    kernels: tuple[LayerKernel, ...]
    operators: tuple[LayerOperator, ...]
    cost: float


def aligned(operators: Sequence[LayerOperator], layers: TraceLayers) -> Alignment:
    """The alignment that costs least, over the kernels with which the layer may begin."""
    labels = {one.label for one in operators}
    names = [(kernel, kernel.name.removeprefix(NCCL)) for kernel in layers.kernels]
    kernels = [replace(kernel, label=name) if name in labels else kernel for kernel, name in names]
    layers = replace(layers, kernels=tuple(kernels))
    return min((_aligned(operators, kernels[at:] + kernels[:at]) for at in _begins(operators, layers)), key=_cost)


def _cost(alignment: Alignment) -> float:
    return alignment.cost


def _begins(operators: Sequence[LayerOperator], layers: TraceLayers) -> list[int]:
    """Places of kernels that may be the first operator; the first kernel where the order is given."""
    if not layers.is_rotated or not operators:
        return [0]
    first = [at for at, one in enumerate(layers.kernels) if one.is_main and _may_be(one, operators[0])]
    return (first or [at for at, one in enumerate(layers.kernels) if one.is_main])[:_MOST_ROTATIONS] or [0]


def _may_be(kernel: LayerKernel, operator: LayerOperator) -> bool:
    return kernel.label == operator.label if kernel.label else kernel.kind in operator.kinds


def _aligned(operators: Sequence[LayerOperator], kernels: Sequence[LayerKernel]) -> Alignment:
    pairs: dict[int, list[int]] = {}
    cost = 0.0
    for is_exchange in (False, True):
        some = [at for at, one in enumerate(operators) if one.is_exchange is is_exchange]
        run = [at for at, one in enumerate(kernels) if _is_exchange(one, operators) is is_exchange]
        found, price = _in_order([operators[at] for at in some], [kernels[at] for at in run])
        cost += price
        for operator, kernel in found:
            pairs[some[operator]] = [run[kernel]]
    _pair_rest(operators, kernels, pairs)
    _swap(operators, kernels, pairs)
    _add_parts(kernels, pairs, operators)
    return _with_merged(operators, kernels, pairs, cost)


def _is_exchange(kernel: LayerKernel, operators: Sequence[LayerOperator]) -> bool:
    if kernel.label:
        return any(one.is_exchange for one in operators if one.label == kernel.label)
    return kernel.kind in COMMUNICATION


def _in_order(
    operators: Sequence[LayerOperator], kernels: Sequence[LayerKernel]
) -> tuple[list[tuple[int, int]], float]:
    """Pairs of an operator and a kernel in the order of both, and what they and the rest cost."""
    alone = [_AUXILIARY_ALONE if one.kind in AUXILIARY else _ALONE for one in kernels]
    whole = sum(one.seconds for one in operators)
    skipped = [_OPERATOR_ALONE if one.seconds > _TINY * whole else _TINY_ALONE for one in operators]
    costs = [list(accumulate(skipped, initial=0.0))]
    for kernel, price in zip(kernels, alone, strict=True):
        before, row = costs[-1], [costs[-1][0] + price]
        for at, operator in enumerate(operators):
            match = before[at] + _distance(kernel, operator)
            row.append(min(match, before[at + 1] + price, row[at] + skipped[at]))
        costs.append(row)
    pairs: list[tuple[int, int]] = []
    kernel, operator = len(kernels), len(operators)
    while kernel and operator:
        here = costs[kernel][operator]
        if here == costs[kernel - 1][operator - 1] + _distance(kernels[kernel - 1], operators[operator - 1]):
            pairs.append((operator - 1, kernel - 1))
            kernel, operator = kernel - 1, operator - 1
        elif here == costs[kernel - 1][operator] + alone[kernel - 1]:
            kernel -= 1
        else:
            operator -= 1
    return pairs[::-1], costs[-1][-1]


def _distance(kernel: LayerKernel, operator: LayerOperator) -> float:
    """What a match costs; infinite where the kernel is of another kind."""
    if not _may_be(kernel, operator):
        return float("inf")
    if kernel.label:
        return 0.0
    return min(abs(log(max(kernel.seconds, 1e-9) / max(operator.seconds, 1e-9))), _WORST)


def _pair_rest(operators: Sequence[LayerOperator], kernels: Sequence[LayerKernel], pairs: dict[int, list[int]]) -> None:
    """What is left on both sides and of one kind, the nearest times first."""
    taken = {kernel for found in pairs.values() for kernel in found}
    left = [
        (_distance(kernel, operator), at, number)
        for at, operator in enumerate(operators)
        if at not in pairs
        for number, kernel in enumerate(kernels)
        if number not in taken and _may_be(kernel, operator)
    ]
    for _, at, number in sorted(left):
        if at not in pairs and number not in taken:
            pairs[at] = [number]
            taken.add(number)


def _swap(operators: Sequence[LayerOperator], kernels: Sequence[LayerKernel], pairs: dict[int, list[int]]) -> None:
    """Exchange the kernels of two operators where their times say that the engine has them in the other order."""
    for first, second in combinations(sorted(pairs), 2):
        one, other = operators[first], operators[second]
        if one.kinds != other.kinds:
            continue
        (mine,), (its,) = pairs[first], pairs[second]
        now = _distance(kernels[mine], one) + _distance(kernels[its], other)
        if _distance(kernels[its], one) + _distance(kernels[mine], other) < now - _SWAPPED:
            pairs[first], pairs[second] = [its], [mine]


_NEXT = {KernelKind.CAST: False, KernelKind.NOTIFY: True}
"""Kinds that are part of the next product, or of the next exchange."""

_SAME = frozenset({KernelKind.ATTENTION, KernelKind.ROUTER, KernelKind.RECURRENCE, KernelKind.INDEXER})
"""Kinds of which several kernels in a row are one operator."""


def _add_parts(kernels: Sequence[LayerKernel], pairs: dict[int, list[int]], operators: Sequence[LayerOperator]) -> None:
    """Casts, waiting, second halves: kernels that are part of another one's operator."""
    owner = {number: at for at, found in pairs.items() for number in found}
    products = frozenset({KernelKind.GEMM, KernelKind.EXPERTS})
    for number, kernel in enumerate(kernels):
        if number in owner:
            continue
        if kernel.kind in _NEXT:
            exchange = _NEXT[kernel.kind]
            after = [*range(number + 1, len(kernels)), *range(number)]
            found = next((one for one in after if one in owner and (
                operators[owner[one]].is_exchange if exchange else kernels[one].kind in products)), None)  # fmt: skip
        elif kernel.kind is KernelKind.GEMM_TAIL or kernel.kind in _SAME:
            kinds = products if kernel.kind is KernelKind.GEMM_TAIL else frozenset({kernel.kind})
            around = [*range(number - 1, -1, -1), *range(number + 1, len(kernels))]
            found = next((one for one in around if one in owner and kernels[one].kind in kinds), None)
        else:
            continue
        if found is not None:
            pairs[owner[found]].append(number)


_MERGED = (
    (KernelKind.EXPERTS, frozenset({KernelKind.ACTIVATION, KernelKind.EXPERTS}), ""),
    (KernelKind.ALL_REDUCE, frozenset({KernelKind.NORM}), "norm"),
    (KernelKind.GEMM, frozenset({KernelKind.ACTIVATION}), "act|silu|swiglu"),
)
"""Of an operator's kernel the kinds of operators behind it that may be in it, where its name has one of these words."""


def _with_merged(
    operators: Sequence[LayerOperator], kernels: Sequence[LayerKernel], pairs: dict[int, list[int]], cost: float
) -> Alignment:
    matches: list[Match] = []
    alone: list[LayerOperator] = []
    is_open = False
    for at, operator in enumerate(operators):
        if at in pairs:
            matches.append(Match((operator,), tuple(kernels[number] for number in sorted(pairs[at]))))
            is_open = True
        elif is_open and _is_merged(operator, matches[-1]):
            matches[-1] = replace(matches[-1], operators=(*matches[-1].operators, operator))
        else:
            alone.append(operator)
            is_open = False
    taken = {number for found in pairs.values() for number in found}
    rest = tuple(kernel for number, kernel in enumerate(kernels) if number not in taken)
    return Alignment(tuple(matches), rest, tuple(alone), cost)


def _is_merged(operator: LayerOperator, match: Match) -> bool:
    for kind, inside, words in _MERGED:
        for kernel in match.kernels:
            if kernel.kind is kind and operator.kinds & inside and kind in match.operators[0].kinds:
                return not words or any(word in kernel.name.lower() for word in words.split("|"))
    return False
