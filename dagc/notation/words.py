"""What a reading decides that a flat notation leaves open, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.degrees import Degrees, Parallelism
from dagc.notation.parse import FlatAxis, Notation
from dagc.plan.domains import Domains


def assumptions(sizes: Parallelism, notation: Notation) -> tuple[str, ...]:
    """One sentence for each decision, on dp first, then on attention, then on the experts."""
    return (*_data_parallel(sizes, notation), *_tensor_parallel(sizes, notation), *_experts(sizes, notation))


def numbering(domains: Domains) -> str:
    """What tells readings of equal sizes apart: the order in which ranks are numbered."""
    parts = (("attention", domains.attention), ("experts", domains.experts))
    orders = (f"{name} {', '.join(f'{f.axis} {f.degree}' for f in layout.factors)}" for name, layout in parts)
    return f"ranks are numbered from the outside in: {'; '.join(orders)}"


def _data_parallel(sizes: Parallelism, notation: Notation) -> Iterator[str]:
    written, dp = notation.degree(FlatAxis.DP), sizes.attention.dp
    if sizes.replicas > 1:
        yield f"`dp {sizes.replicas}` copies the whole model; each copy has its own experts and requests"
    if dp == 1 and sizes.replicas == 1 and written not in (None, 1):
        yield f"`dp {written}` makes no difference here"
    elif dp > 1 and dp == written and sizes.replicas == 1:
        yield f"`dp {dp}` is attention's: it splits the tokens of a stage's batch and copies no experts"
    elif dp > 1:
        how = f"not {written}" if written not in (None, 1) and sizes.replicas == 1 else "implied"
        yield (
            f"attention's dp is {dp}, {how}: the {sizes.attention.width} GPUs of a stage / tp {sizes.attention.tp}"
            + (f" / cp {sizes.attention.cp}" if sizes.attention.cp > 1 else "")
        )


def _tensor_parallel(sizes: Parallelism, notation: Notation) -> Iterator[str]:
    written = notation.degree(FlatAxis.TP)
    if written is not None and written != sizes.attention.tp:
        yield f"`tp {written}` is all GPUs of a stage, of which attention's tp is {sizes.attention.tp}"


def _experts(sizes: Parallelism, notation: Notation) -> Iterator[str]:
    experts = sizes.experts
    if experts is None:
        return
    written = notation.degree(FlatAxis.EP)
    if written is not None and experts.ep != written:
        yield f"ep is {experts.ep}, not {written}: the experts are spread over all GPUs of a stage"
    if experts.ep > 1:
        yield _group(sizes, experts)
    elif experts.tp > 1:
        yield f"the experts are not spread: the matrices of each are split over {experts.tp} GPUs"
    if experts.dp > 1:
        yield f"a stage has {experts.dp} copies of its experts, one for each {experts.tp * experts.ep} GPUs"


def _group(sizes: Parallelism, experts: Degrees) -> str:
    if experts.tp > 1:
        return (
            f"each of the {experts.ep} ranks of ep is {experts.tp} GPUs, over which the matrices of an expert are split"
        )
    shared = [f"{axis} {n}" for axis, n in (("tp", sizes.attention.tp), ("cp", sizes.attention.cp)) if n > 1]
    if not shared:
        return f"`ep {experts.ep}` gives each GPU whole experts"
    return f"`ep {experts.ep}` and attention's {' and '.join(shared)} share the same GPUs; each expert is on one GPU"
