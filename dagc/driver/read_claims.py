"""Claims beside a flat notation are held against its likeliest reading.

A number of GPUs is decided by the readings alone. Everything else is judged as a plan's claim is, on the plan of that
reading, where a model and a cluster are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dagc.check.claims.claim_false import CODE as CLAIM_FALSE
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.driver.outcome import Blocks
from dagc.notation.claims import WrittenClaim
from dagc.notation.parse import FlatAxis
from dagc.notation.readings import JudgedClaim, Reading, Readings
from dagc.results.assessment import Verdict
from dagc.source import Source
from dagc.units import format_gpus

OF_ANOTHER_READING = Code("W147", "claim-of-another-reading", Severity.WARNING)

_FACTS = ("model", "cluster")
_MOST = 8
"""Readings that a message lists."""


def with_claims(found: Readings, blocks: Blocks, directory: Path, diagnostics: list[Diagnostic]) -> Readings:
    """The readings with verdicts on the notation's claims; `diagnostics` collects those on numbers of GPUs."""
    claims = found.notation.claims
    if not claims or not found.readings:
        return found
    others = iter(_others(found, blocks, directory))
    judged = [
        next(others) if claim.count is None else _gpus(found, claim, claim.count, diagnostics) for claim in claims
    ]
    return replace(found, claims=tuple(judged))


def _gpus(found: Readings, claim: WrittenClaim, count: int, diagnostics: list[Diagnostic]) -> JudgedClaim:
    first = found.likeliest
    if first.gpus == count:
        return JudgedClaim(claim, True, format_gpus(count))
    same = [(number, one) for number, one in enumerate(found.readings, 1) if one.gpus == count]
    diagnostics.append(_another(found, claim, count, same[0]) if same else _none(found, claim, count))
    product = f"; {count:,} is the product of all degrees" if count == found.product else ""
    others = "".join(f"; reading {number}, `{one.strategy}`, has {count:,}" for number, one in same[:3])
    return JudgedClaim(claim, False, f"{format_gpus(first.gpus)}{product}{others}")


def _another(found: Readings, claim: WrittenClaim, count: int, other: tuple[int, Reading]) -> Diagnostic:
    number, one = other
    first = found.likeliest
    return OF_ANOTHER_READING.at(
        claim.span,
        f"{format_gpus(count)} are claimed, and the likeliest reading, `{first.strategy}`, has {first.gpus:,}",
        f"this is reading {number}",
        notes=(_sizes(found),),
        help=(f"`{one.strategy}` is the strategy of {format_gpus(count)}", f"`--gpus {count}` shows it alone"),
    )


def _none(found: Readings, claim: WrittenClaim, count: int) -> Diagnostic:
    first = found.likeliest
    return CLAIM_FALSE.at(
        claim.span,
        f"{format_gpus(count)} are claimed, and no reading has so many: `{first.strategy}` has {first.gpus:,}",
        f"not {count:,}",
        notes=(_sizes(found), *_of_all_stages(found, count)),
        help=(f"claim {format_gpus(first.gpus)}, or change the degrees",),
    )


def _of_all_stages(found: Readings, count: int) -> Iterator[str]:
    """A slip of its own: an ep that counts the experts of every stage, where each layer has its own."""
    ep, pp = (found.notation.degree(axis) or 1 for axis in (FlatAxis.EP, FlatAxis.PP))
    if pp > 1 and ep == count and ep % pp == 0:
        each = ep // pp
        yield f"if `ep {ep}` counts the experts of all {pp} stages, a stage has ep {each}: `pp {pp} < ep {each} >`"


def _sizes(found: Readings) -> str:
    shown = [f"{n}. `{one.strategy}`, {format_gpus(one.gpus)}" for n, one in enumerate(found.readings[:_MOST], 1)]
    more = len(found.readings) - _MOST
    return f"readings are {'; '.join(shown)}{f'; and {more} more' if more > 0 else ''}"


def _others(found: Readings, blocks: Blocks, directory: Path) -> list[JudgedClaim]:
    """Verdicts on the claims that are no number of GPUs, in their order."""
    claims = [claim for claim in found.notation.claims if claim.count is None]
    lacking = [f"`--{name}`" for name in _FACTS if name not in {name for name, _ in blocks}]
    if lacking:
        reason = f"undetermined without {' and '.join(lacking)}"
        return [JudgedClaim(claim, None, f"{_shares(found, claim)}{reason}") for claim in claims]
    return _priced(found, claims, blocks, directory) if claims else []


def _shares(found: Readings, claim: WrittenClaim) -> str:
    """A total throughput over the GPUs of the likeliest reading, and over those that are claimed."""
    words = claim.entry.split()
    if claim.metric != "throughput" or words[-1] == "gpu":
        return ""
    counts = dict.fromkeys([found.likeliest.gpus, *(other.count for other in found.notation.claims if other.count)])
    shares = ", ".join(f"{float(words[2]) / count:.3g} {words[-1]} a GPU over {count:,}" for count in counts if count)
    return f"{shares}; "


def _priced(found: Readings, claims: list[WrittenClaim], blocks: Blocks, directory: Path) -> list[JudgedClaim]:
    """The first verdict on each, on the plan of the likeliest reading: an entry a line, from the third on."""
    from dagc.driver.check import check

    lines = [f"strategy main = {found.likeliest.strategy}", "claims main {", *(claim.entry for claim in claims), "}"]
    source = Source("reading", "\n".join([*lines, ""]))
    outcome = check(source, blocks, directory, sample=None)
    if not outcome.checked:
        refused = next((d.message for d in outcome.diagnostics if d.is_error), "it cannot be priced")
        return [JudgedClaim(claim, None, f"undetermined: {refused}") for claim in claims]
    first: dict[int, Verdict] = {}
    for verdict in outcome.checked[0].priced.assessment.claims:
        first.setdefault(source.position(verdict.claim.span.start)[0] - 3, verdict)
    return [_judged(claim, first.get(index)) for index, claim in enumerate(claims)]


def _judged(claim: WrittenClaim, verdict: Verdict | None) -> JudgedClaim:
    if verdict is None:
        return JudgedClaim(claim, None, "undetermined: not a figure of a plan")
    actual = verdict.actual
    return JudgedClaim(claim, verdict.ok, f"{actual.text} ({actual.reason})" if actual.text else actual.reason)
