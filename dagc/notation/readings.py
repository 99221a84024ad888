"""The readings of a flat notation: what it can mean, in which order, and what each decides that the text leaves open.

Turns strategies that the language accepts into `Reading`s: those in which a written degree is lost are dropped, those
with the same meaning (equal sizes, domains and groups) become one, and the likeliest comes first: what more engines
count so, then what fits without filling, then what shares GPUs before what multiplies. Judges nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dagc.degrees import AxisKind, Degrees, Parallelism
from dagc.diag.diagnostic import Diagnostic
from dagc.engines.engine import Counted
from dagc.notation.claims import WrittenClaim
from dagc.notation.parse import FlatAxis, Notation
from dagc.plan.deployment import Deployment
from dagc.plan.domains import Domains
from dagc.plan.layout import Layout
from dagc.syntax.printer import format_strategy

Counts = Mapping[str, Counted]
"""What each engine makes of a notation."""

Judge = Callable[[Deployment], tuple[Diagnostic, ...]]
"""What the rules say of a strategy."""


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """One strategy that the notation can mean.

    `engines` are those that count so, `assumes` what the notation leaves open and this reading decides. `problems` are
    what the rules say of it for the model and cluster that were named.
    """

    deployment: Deployment
    sizes: Parallelism
    engines: tuple[str, ...]
    assumes: tuple[str, ...]
    problems: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        """One line: the text and the GPUs, in place of all ranks."""
        return f"<Reading {self.strategy!r}: {self.gpus} GPU{'s' * (self.gpus != 1)}>"

    @property
    def strategy(self) -> str:
        """Its canonical text."""
        return format_strategy(self.deployment.strategy.body)

    @property
    def gpus(self) -> int:
        """GPUs of the whole deployment."""
        return self.deployment.gpus

    def row(self) -> dict[str, str | float | bool | None]:
        """Its strategy, its GPUs, the engines that count so, what it assumes, and codes of problems."""
        return {
            "strategy": self.strategy,
            "gpus": self.gpus,
            "engines": ", ".join(self.engines),
            "assumes": "; ".join(self.assumes),
            "problems": ", ".join(problem.code.code for problem in self.problems),
        }


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim of the text, held against the likeliest reading: `ok` is None where nothing decides. `found` says why."""

    claim: WrittenClaim
    ok: bool | None
    found: str


@dataclass(frozen=True, slots=True)
class Readings:
    """All readings, likeliest first; what each engine makes of the notation; and the product of every degree."""

    notation: Notation
    readings: tuple[Reading, ...]
    counts: Counts
    claims: tuple[JudgedClaim, ...] = ()

    @property
    def product(self) -> int:
        """Every degree multiplied, as people count."""
        return self.notation.product

    @property
    def likeliest(self) -> Reading:
        """The first reading that no rule refuses and that bends no degree, or the first; there must be one."""
        straight = (one for one in self.readings if not _is_bent(one.sizes, self.notation))
        legal = (one for one in straight if not any(problem.is_error for problem in one.problems))
        return next(legal, self.readings[0])

    def of_engine(self, engine: str) -> int | None:
        """Number of the reading that an engine counts, from 1; None where it refuses the degrees."""
        return next((n for n, reading in enumerate(self.readings, 1) if engine in reading.engines), None)


def readings(notation: Notation, deployments: Iterable[Deployment], counts: Counts, judge: Judge) -> Readings:
    """The readings among legal strategies; `counts` is what the engines make of the notation."""
    chosen: dict[object, Deployment] = {}
    for deployment in sorted(deployments, key=_plainness):
        sizes = sizes_of(deployment)
        if _counting(sizes, counts) or _keeps(sizes, notation):
            chosen.setdefault(_meaning(deployment), deployment)
    kept = _first_of_engines(chosen.values(), counts)
    alike = Counter(sizes_of(deployment) for deployment in kept)
    found = [_reading(deployment, notation, counts, alike) for deployment in kept]
    found = [replace(reading, problems=judge(reading.deployment)) for reading in found]
    return Readings(notation, tuple(sorted(found, key=lambda reading: _order(reading, notation))), counts)


def sizes_of(deployment: Deployment) -> Parallelism:
    """The degrees of a deployment of one pool."""
    (service,) = deployment.services
    cut = _domains(deployment)
    return Parallelism(cut.attention.degrees, cut.experts.degrees, service.stages, deployment.replicas)


def _domains(deployment: Deployment) -> Domains:
    pool = deployment.services[0].pools[0]
    return Domains(pool.attention or Layout(()), pool.experts or Layout(()))


def _reading(deployment: Deployment, notation: Notation, counts: Counts, alike: Counter[Parallelism]) -> Reading:
    sizes = sizes_of(deployment)
    numbered = (numbering(_domains(deployment)),) if alike[sizes] > 1 else ()
    return Reading(deployment, sizes, _counting(sizes, counts), (*assumptions(sizes, notation), *numbered))


def _counting(sizes: Parallelism, counts: Counts) -> tuple[str, ...]:
    return tuple(engine for engine, counted in counts.items() if counted.sizes == sizes)


def _keeps(sizes: Parallelism, notation: Notation) -> bool:
    """Whether each written degree is found where its name says: tp and cp in attention, ep and etp in the experts.

    Copies that fill a stage may multiply attention's dp.
    """
    experts = sizes.experts
    assert experts is not None
    kept = {
        FlatAxis.PP: sizes.stages,
        FlatAxis.TP: sizes.attention.tp,
        FlatAxis.CP: sizes.attention.cp,
        FlatAxis.EP: experts.ep,
        FlatAxis.ETP: experts.tp,
    }
    dp = notation.degree(FlatAxis.DP) or 1
    is_dp_kept = dp in (1, sizes.replicas) or (sizes.replicas == 1 and sizes.attention.dp % dp == 0)
    return is_dp_kept and all(kept.get(degree.axis, degree.value) == degree.value for degree in notation.degrees)


def _meaning(deployment: Deployment) -> object:
    """Equal for strategies of equal sizes, domains and groups."""
    domains = _domains(deployment)
    stages = deployment.services[0].stages
    return deployment.replicas, stages, _normal(domains.attention), _normal(domains.experts)


def _normal(layout: Layout) -> tuple[tuple[AxisKind, int], ...]:
    """The factors without those of 1, neighbours of one axis as one: groups are the same where these are."""
    normal: list[tuple[AxisKind, int]] = []
    for factor in layout.factors:
        if normal and normal[-1][0] is factor.axis:
            normal[-1] = (factor.axis, normal[-1][1] * factor.degree)
        elif factor.degree > 1:
            normal.append((factor.axis, factor.degree))
    return tuple(normal)


def _first_of_engines(deployments: Iterable[Deployment], counts: Counts) -> Sequence[Deployment]:
    """Of several numberings of ranks that an engine's sizes leave open, only the plainest."""
    kept: list[Deployment] = []
    seen: set[Parallelism] = set()
    for deployment in deployments:
        sizes = sizes_of(deployment)
        if sizes not in seen or not _counting(sizes, counts):
            kept.append(deployment)
        seen.add(sizes)
    return kept


def _plainness(deployment: Deployment) -> tuple[int, str]:
    """Of spellings with one meaning the shortest: what is implied need not be written."""
    text = format_strategy(deployment.strategy.body)
    return len(text), text


def _order(reading: Reading, notation: Notation) -> tuple[bool, bool, int, bool, int, str]:
    """The command line's own engine, then no degree bent, many engines, no experts copied to fill up, few GPUs."""
    is_own = notation.engine is not None and notation.engine in reading.engines
    is_filled = reading.sizes.experts is not None and reading.sizes.experts.dp > 1
    bent = _is_bent(reading.sizes, notation)
    return not is_own, bent, -len(reading.engines), is_filled, reading.gpus, reading.strategy


def _is_bent(sizes: Parallelism, notation: Notation) -> bool:
    """Whether fewer ranks of experts, or another dp, than written come out: hardly what was meant."""
    ep, dp = notation.degree(FlatAxis.EP), notation.degree(FlatAxis.DP)
    is_cut = ep is not None and sizes.experts is not None and sizes.experts.ep < ep
    return is_cut or (dp not in (None, 1, sizes.replicas, sizes.attention.dp))


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
