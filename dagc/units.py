"""Units of the language, their dimension and SI scale; and figures written for people.

Turns the words after a number (`TB/s`, `output tokens/ms per gpu`) into a `Unit`, and SI values into short text.
A text can name several units (`B` is bytes, or a billion): `candidates` gives all, `lookup` chooses by the dimension
that the field expects. Spelling is exact where case carries meaning (`GB` and `Gb`), and free where it does not
(`TFLOPS`). It does not know fields: what a field expects is the reader's business.

How finely a figure was written: its significant digits, and what the last of them is worth.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import floor, log10


class Dimension(StrEnum):
    """What a unit measures, named by its SI unit."""

    BYTES = "bytes"
    BYTE_RATE = "bytes/s"
    FLOP_RATE = "flop/s"
    SECONDS = "seconds"
    TOKEN_RATE = "tokens/s"
    REQUEST_RATE = "requests/s"
    MONEY = "USD"
    MONEY_RATE = "USD/s"
    SHARE = "share"
    RATIO = "ratio"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as written: a value times `scale` is in the SI unit of `dimension` (a share is in [0, 1]).

    `per_gpu` when it is counted over one GPU; `kind` is `input`, `output` or `total` for tokens, else empty.
    """

    text: str
    dimension: Dimension
    scale: float
    per_gpu: bool = False
    kind: str = ""


KINDS = ("input", "output", "total")
NAME_LIKE = frozenset({"tokens", "sequences", "requests", "gpus", "layers", "experts", "x"})
"""Units that may also be names of entries: `node 8 gpus 256` is two entries."""

_DECIMAL = {"": 1.0, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_TIMES = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
}
_COUNTS = {"K": 1e3, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_THINGS = ("token", "sequence", "request", "gpu", "layer", "expert")
_FLOP_RATE = re.compile(r"([KMGTPE]?)FLOP(?:/S|S/S|S)", re.IGNORECASE)
_FLOP_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
_PER_GPU = re.compile(r"(?:\s*/\s*|\s+(?:per|a)\s+)gpu$", re.IGNORECASE)


def _table() -> dict[str, tuple[Unit, ...]]:
    rows: list[Unit] = []
    prefixes = {**_DECIMAL, **_BINARY}
    rows += [Unit(f"{p}B", Dimension.BYTES, scale) for p, scale in prefixes.items()]
    rows += [Unit(f"{p}B/s", Dimension.BYTE_RATE, scale) for p, scale in prefixes.items()]
    rows += [Unit(f"{p}{bit}", Dimension.BYTE_RATE, _DECIMAL[p] / 8) for p in "MGT" for bit in ("b/s", "bit/s", "bps")]
    rows += [Unit(text, Dimension.SECONDS, scale) for text, scale in _TIMES.items()]
    rows += [
        Unit(f"{token}/{time}", Dimension.TOKEN_RATE, 1 / scale)
        for token in ("tokens", "token", "tok")
        for time, scale in _TIMES.items()
    ]
    rows += [
        Unit(f"{request}/{time}", Dimension.REQUEST_RATE, 1 / scale)
        for request in ("requests", "request")
        for time, scale in _TIMES.items()
    ]
    rows += [Unit(f"USD/{time}", Dimension.MONEY_RATE, 1 / scale) for time, scale in _TIMES.items()]
    rows += [Unit("%", Dimension.SHARE, 0.01), Unit("x", Dimension.RATIO, 1.0)]
    rows += [Unit(text, Dimension.COUNT, scale) for text, scale in _COUNTS.items()]
    rows += [Unit(text, Dimension.COUNT, 1.0) for thing in _THINGS for text in (f"{thing}s", thing)]
    rows += [Unit(text, Dimension.COUNT, 1.0) for text in ("GPU", "GPUs")]
    table: dict[str, tuple[Unit, ...]] = {}
    for row in rows:
        table[row.text] = (*table.get(row.text, ()), row)
    return table


_UNITS = _table()


def candidates(text: str) -> tuple[Unit, ...]:
    """Every unit that a text can name, most usual first: `B` is bytes, then a billion. Empty when unknown."""
    words = " ".join(text.split())
    per_gpu = _PER_GPU.search(words)
    base = words[: per_gpu.start()] if per_gpu else words
    kind, _, rest = base.partition(" ")
    if kind in KINDS and rest:
        found = tuple(u for u in _base(rest) if "tok" in u.text)
    else:
        kind, found = "", _base(base)
    return tuple(replace(u, text=text, per_gpu=per_gpu is not None, kind=kind) for u in found)


def lookup(text: str, dimension: Dimension | str | None = None) -> Unit | None:
    """The unit that a text names, of the expected dimension if one is given; None when there is none."""
    return next((u for u in candidates(text) if dimension is None or u.dimension == dimension), None)


def leading_words(words: Sequence[str]) -> int:
    """How many of these words, taken from the first, make the longest known unit; 0 when none does."""
    return next((n for n in range(min(len(words), 4), 0, -1) if candidates(" ".join(words[:n]))), 0)


def unit_words() -> tuple[str, ...]:
    """Every unit of one word, as it is best written, in the order of the table."""
    return (*_UNITS, *(f"{prefix}FLOP/s" for prefix in ("", "K", "M", "G", "T", "P", "E")))


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that a misspelt word most likely meant; None where no option is near, or several are alike."""
    found = likeliest(word, options)
    return found[0] if len(found) == 1 else None


def likeliest(word: str, options: Iterable[str]) -> tuple[str, ...]:
    """The options that a misspelt word may have meant, about equally near, in their order; empty where none is near.

    Case is forgiven. An option of other digits is never among them: `h200` is no slip of the pen for `h20`.
    """
    choices = list(dict.fromkeys(options))
    if word in choices:
        return (word,)
    if same := tuple(choice for choice in choices if choice.casefold() == word.casefold()):
        return same
    scored = {choice: likeness(word, choice) for choice in choices if digits(choice) == digits(word)}
    best = max(scored.values(), default=0.0)
    # Below these shares of matching characters an offer would be a guess; in a word of two only one can match.
    if best < (_NEAR if len(word) > 2 else _NEAR_SHORT):
        return ()
    return tuple(choice for choice, score in scored.items() if best - score < APART)


def likeness(word: str, option: str) -> float:
    """Share of matching characters of two words, in any case."""
    return difflib.SequenceMatcher(None, word.casefold(), option.casefold()).ratio()


def digits(word: str) -> list[str]:
    """The numbers in a word, in order."""
    return re.findall(r"\d+", word)


APART = 0.05
"""By how much of its characters one word is nearer than another, where the two are not about equally near."""

_NEAR = 0.6
_NEAR_SHORT = 0.5


def format_count(value: float) -> str:
    """`7`, `128`, `10.2 K`, `671 B`: whole numbers below 10,000 in full, else three significant digits."""
    if abs(value) < 10_000 and value == int(value):
        return str(int(value))
    return _scaled(value, ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " K"), (1.0, "")))


def counted(count: int, thing: str, plural: str = "s") -> str:
    """A number of things: `1 rank`, `2 ranks`, `2 batches`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}{plural}"


def format_gpus(count: int) -> str:
    """`1 GPU`, `64 GPUs`."""
    return counted(count, "GPU")


def format_bytes(value: float) -> str:
    """Decimal bytes: `80 GB`, `1.5 MB`, `12 B`."""
    return _scaled(value, ((1e15, " PB"), (1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " KB"), (1.0, " B")))


def format_seconds(value: float) -> str:
    """`1.25 s`, `35 ms`, `12.5 us`, `3 ns`."""
    return _scaled(value, ((1.0, " s"), (1e-3, " ms"), (1e-6, " us"), (1e-9, " ns")))


def format_share(value: float) -> str:
    """A share in [0, 1] as per cent: `24 %`."""
    return f"{_three_digits(value * 100)} %"


def format_money(value: float) -> str:
    """US dollars to three significant digits: `160 USD`, `0.042 USD`."""
    return f"{_three_digits(value)} USD"


def format_rate(value: float, unit: str = "tokens/s") -> str:
    """A rate in an SI unit: `bytes/s` and `flop/s` take a prefix (`1.8 TB/s`), others a count (`24.3 M tokens/s`)."""
    if unit == "bytes/s":
        return f"{format_bytes(value)}/s"
    if unit == "flop/s":
        prefixes = ((1e15, " PFLOP/s"), (1e12, " TFLOP/s"), (1e9, " GFLOP/s"), (1e6, " MFLOP/s"), (1.0, " FLOP/s"))
        return _scaled(value, prefixes)
    count = format_count(value)
    return f"{count} {_singular(unit) if count == '1' else unit}"


def _singular(unit: str) -> str:
    return unit.replace("tokens/", "token/").replace("requests/", "request/")


def _base(text: str) -> tuple[Unit, ...]:
    if text in _UNITS:
        return _UNITS[text]
    flop = _FLOP_RATE.fullmatch(text)
    return (Unit(text, Dimension.FLOP_RATE, _FLOP_SCALE[flop[1].lower()]),) if flop else ()


def _scaled(value: float, steps: Sequence[tuple[float, str]]) -> str:
    """The value in the first step that leaves at least 1 after rounding; the last step where none does."""
    for scale, suffix in steps:
        if not abs(value) < scale / 2 and abs(float(f"{value / scale:.3g}")) >= 1:
            return f"{_three_digits(value / scale)}{suffix}"
    scale, suffix = steps[-1]
    return f"{_three_digits(value / scale)}{suffix}"


def _three_digits(value: float) -> str:
    """Three significant digits, no exponent below a million, no trailing zeros."""
    rounded = float(f"{value:.3g}")
    if rounded == int(rounded) and abs(rounded) < 1e15:
        return str(int(rounded))
    return f"{rounded:.10f}".rstrip("0").rstrip(".") if abs(rounded) >= 1e-6 else f"{rounded:.3g}"


TOLERANCE = 0.01
"""Share of the right figure by which a stated one may differ: those in the names of models are rounded or cut."""


def significant_digits(text: str) -> int:
    """Significant digits of a number as written: 3 of `1.15`, 2 of `0.010`, 5 of `20000`, none of `0.0`.

    Zeros before the first other digit do not count; zeros after it do, because the writer chose to write them.
    """
    written = re.match(r"-?([\d_.]+)", text)
    digits = re.sub(r"[_.]", "", written[1]) if written else ""
    return len(digits.lstrip("0"))


def last_digit(text: str, value: float) -> float:
    """What one unit of the last written digit of a positive figure is worth: 1e9 for `10 B` of value 1e10.

    `text` may hold words before the number.
    """
    number = re.search(r"\d[\d_.]*", text)
    digits = significant_digits(number[0]) if number else 0
    return 10.0 ** (floor(log10(value)) - digits + 1) if digits and value > 0 else 0.0


def agrees(text: str, given: float, right: float) -> bool:
    """Whether a figure given in `text` is the right one, up to `TOLERANCE` or one unit of its last written digit."""
    return abs(right - given) <= max(TOLERANCE * right, last_digit(text, given))
