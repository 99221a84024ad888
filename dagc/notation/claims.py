"""Takes claims off a flat notation: `PP=4, EP=16, TP=2 → 128 GPUs; 640 tokens/ms`.

A figure with a unit is a claim and no degree: a number of GPUs, tokens a time, a named time, memory of a GPU. Each
becomes an entry of a `claims` block, so that it is judged as the claim of a plan is. What is taken off, and comments,
are blanks in the text that is left, so that places stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dagc.source import Source, Span

_NUMBER = r"\d[\d,_]*(?:\.\d+)?"
_SIGN = r"(?P<sign><=|>=|<|>|≤|≥|=|:)?\s*"
_GPU = r"(?P<each>\s*(?:/|per\s|an?\s|each\s)\s*(?:gpu|device|card)s?)?"
_RATE = rf"(?P<rate>{_NUMBER})\s*(?P<scale>[kKM]?)\s*(?P<kind>input|output|total)?\s*tok(?:en)?s?"
_PATTERNS = (
    (
        "gpus",
        rf"(?:→|->|=>|⇒|=|:)?\s*(?:(?:total[_ ])?gpus?|total[_ ]gpus?)\s*(?:=|:)\s*(?P<count>{_NUMBER})"
        rf"|(?:→|->|=>|⇒|=|:)?\s*(?:\b(?:requires|requiring|needs?|us(?:es|ing)|on|with|for|total(?:\s+of)?)\s+)*"
        rf"(?P<count2>{_NUMBER})\s*[x×]?\s*gpus?\b(?:\s+(?:in\s+)?total)?",
    ),
    ("gpus", rf"(?:→|->|=>|⇒)\s*(?P<count>{_NUMBER})(?P<count2>)\s*$"),
    (
        "throughput",
        rf"(?:throughput\s*)?{_SIGN}{_RATE}\s*(?:/|per)\s*(?P<time>ms|millisecond|second|sec|s)\b{_GPU}",
    ),
    ("time", rf"(?P<name>ttft|tpot|latency)\s*{_SIGN}(?P<value>{_NUMBER})\s*(?P<unit>ms|us|s)\b"),
    ("memory", rf"(?:memory\s*)?{_SIGN}(?P<value>{_NUMBER})\s*(?P<unit>[GMT]i?B)\b{_GPU}"),
)
_CLAIM = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _PATTERNS)
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*")
_COMPARED = {"≤": "<=", "≥": ">=", ":": "=", "": "="}
_ARROW = re.compile(r"→|->|=>|⇒")
_SCALE = {"": 1, "k": 1000, "m": 1_000_000}


@dataclass(frozen=True, slots=True)
class WrittenClaim:
    """A claim at its place: `metric`, and the entry of a `claims` block that says the same.

    `count` is the number of GPUs where it claims that.
    """

    metric: str
    entry: str
    span: Span
    count: int | None = None


def split_claims(source: Source) -> tuple[str, tuple[WrittenClaim, ...]]:
    """The text without claims and comments, as long as before, and the claims in their order."""
    text = _COMMENT.sub(lambda found: " " * len(found[0]), source.text)
    found: list[WrittenClaim] = []
    for name, pattern in _CLAIM:
        at = 0
        while (match := pattern.search(text, at)) is not None:
            found.append(_claim(name, match, source))
            text = f"{text[: match.start()]}{' ' * len(match[0])}{text[match.end() :]}"
            at = match.end()
    if found:
        text = _ARROW.sub(lambda arrow: " " * len(arrow[0]), text)
    return text, tuple(sorted(found, key=lambda claim: claim.span.start))


def _claim(name: str, match: re.Match[str], source: Source) -> WrittenClaim:
    lead = len(match[0]) - len(match[0].lstrip(" \t\n=:→⇒->"))
    span = source.span(match.start() + lead, match.end())
    if name == "gpus":
        count = int(_plain(match["count"] or match["count2"]).partition(".")[0][:18])
        return WrittenClaim("gpus", f"gpus {count}", span, count)
    sign = match["sign"] or ""
    compared = f"{_COMPARED.get(sign, sign)} "
    if name == "throughput":
        value = float(_plain(match["rate"])) * _SCALE[match["scale"].lower()]
        kind = f"{match['kind'].lower()} " if match["kind"] else ""
        time = "ms" if match["time"].lower().startswith("m") else "s"
        each = " per gpu" if match["each"] else ""
        return WrittenClaim(name, f"throughput {compared}{value:g} {kind}tokens/{time}{each}", span)
    if name == "time":
        return WrittenClaim(name, f"{match['name'].lower()} {compared}{_plain(match['value'])} {match['unit']}", span)
    unit = match["unit"][0].upper() + match["unit"][1:-1].lower() + "B"
    return WrittenClaim(name, f"memory {compared}{_plain(match['value'])} {unit}", span)


def _plain(number: str) -> str:
    return number.replace(",", "").replace("_", "")
