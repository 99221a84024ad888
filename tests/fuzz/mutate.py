"""Edits of texts, JSON documents and tables, as mistakes and malice make them."""

from __future__ import annotations

import csv
import io
import json
import random
from copy import deepcopy
from typing import Any

from tests.property.mutations import BLANKS, NUMBERS, PIECE, SIGNS, WORDS

PLAIN_WORDS = [word for word in WORDS if word.isprintable() and "\ud800" not in word]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 4096, 10**6, 2**31, 2**63, 10**19, 10**40, 0.5, -0.5, 1e-300, 1e300),
    *("", "x", "1", "8", "fp8", "bf16", "sigmoid", "full_attention", "linear_attention", "mla", "é\u202e", "9" * 400),
    *([], [0], [1, 2], [None], [[]], ["full_attention"] * 3, {}, {"": 0}, {"quant_method": "fp8"}, {"rope_type": 3}),
]
"""What a field of a document may hold by mistake."""

RAW = [
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "'x'",
    "1.",
    "01",
    "-",
    "nul",
    "[" * 2000,
    '{"a":' * 500,
]
"""What is no JSON, or more than Python's numbers and stack hold."""

MARKER = "@raw@"
"""A value that becomes one of `RAW` in the text."""

RAW_BYTES = [b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\x1b[2J", b"\xf0\x9f", b"\x80"]


def text(rng: random.Random, given: str, most: int = 5) -> str:
    """A text after a few edits of its pieces: words, numbers, signs and blanks."""
    pieces = PIECE.findall(given)
    for _ in range(rng.randint(1, most)):
        at, other = (rng.randrange(max(len(pieces), 1)) for _ in range(2))
        match rng.randrange(8):
            case 0:
                pieces.insert(at, something(rng))
            case 1 | 2:
                pieces[at : at + 1] = [something(rng)]
            case 3:
                del pieces[at : at + 1]
            case 4:
                pieces[at:at] = pieces[other : other + 1]
            case 5 if pieces:
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case 6:
                numbers = [i for i, piece in enumerate(pieces) if piece.isdigit() and piece.isascii()]
                for i in rng.sample(numbers, min(1, len(numbers))):
                    pieces[i] = rng.choice([*NUMBERS, *map(str, (1, 2, 3, 4, 8, 16, 61, 64, 128, 256, 1024))])
            case _:
                first, last = sorted((at, other))
                if last - first < len(pieces) // 2:
                    del pieces[first:last]
    return "".join(pieces)


def something(rng: random.Random) -> str:
    """A word, number, sign or blank."""
    return rng.choice(rng.choice((BLANKS, SIGNS, NUMBERS, WORDS, PLAIN_WORDS)))


def raw(rng: random.Random, given: bytes) -> bytes:
    """Bytes after an edit that knows nothing of them."""
    at, other = (rng.randrange(len(given) + 1) for _ in range(2))
    match rng.randrange(5):
        case 0:
            return given[:at] + rng.choice(RAW_BYTES) + given[at:]
        case 1:
            return given[:at]
        case 2:
            return given[:at] + bytes([rng.randrange(256)]) + given[at + 1 :]
        case 3:
            return given[:at] + given[min(at, other) : max(at, other)][:4000] + given[at:]
        case _:
            return rng.choice(
                [
                    b"",
                    given.replace(b"\n", b"\r\n"),
                    given.replace(b"\n", b""),
                    given.decode("utf-8", "replace").encode("utf-16"),
                ]
            )


def document(rng: random.Random, given: str) -> str:
    """A JSON text after a few edits of its fields."""
    try:
        root = json.loads(given)
    except (ValueError, RecursionError):
        return text(rng, given)
    try:
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            holders = _holders(root)
            if not holders:
                return json.dumps(rng.choice(VALUES))
            _edit(rng, rng.choice(holders), rng.choice(holders))
        made = json.dumps(root, indent=rng.choice((None, 1)))
    except RecursionError:
        return given
    return made.replace(f'"{MARKER}"', rng.choice(RAW))


def _edit(rng: random.Random, holder: Any, other: Any) -> None:
    """Change a field of an object or an entry of a list; `other` is a second one of the document.

    What goes in is a copy, since an object inside itself is no document.
    """
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    held = holder[key]
    match rng.randrange(10):
        case 0:
            del holder[key]
        case 1 | 7 | 8 | 9 if isinstance(held, int | float) and not isinstance(held, bool):
            holder[key] = rng.choice([held * 2, held // 2, held + 1, -held, held / 3, held * 10**6])
        case 2:
            holder[key] = [held]
        case 3 if isinstance(holder, dict):
            name = rng.choice(list(other)) if isinstance(other, dict) else "new_field"
            holder[name] = deepcopy(rng.choice(VALUES))
        case 4:
            holder[key] = MARKER
        case 5:
            holder[key] = deepcopy(rng.choice(list(other.values() if isinstance(other, dict) else other)))
        case _:
            holder[key] = deepcopy(rng.choice(VALUES))


def _holders(root: Any) -> list[Any]:
    """Every object and list that holds something. Not by recursion: some are thousands deep."""
    found: list[Any] = []
    waiting = [root]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict | list) and inner:
            found.append(inner)
            waiting += inner.values() if isinstance(inner, dict) else inner
    return found


def table(rng: random.Random, given: str) -> str:
    """A CSV text after a few edits of its cells, rows and columns."""
    rows = [line.split(",") for line in given.splitlines()]
    for _ in range(rng.randint(1, 4)):
        row = rng.randrange(max(len(rows), 1)) or (rng.random() > 0.2 and len(rows) - 1)
        match rng.randrange(7):
            case 0:
                del rows[row : row + 1]
            case 1:
                rows[row:row] = rows[row : row + 1]
            case 2 if rows and rows[row]:
                del rows[row][rng.randrange(len(rows[row]))]
            case _ if rows and rows[row]:
                cell = rng.randrange(len(rows[row]))
                rows[row][cell] = rng.choice(
                    [
                        something(rng),
                        text(rng, rows[row][cell], 2),
                        rng.choice(["", "nan", "inf", "-1", "0", "1e309", "1e-320"]),
                    ]
                )
            case _:
                rows.append([something(rng) for _ in range(rng.randrange(5))])
    stream = io.StringIO()
    csv.writer(stream, lineterminator=rng.choice(("\n", "\n", "\r\n"))).writerows(rows)
    return stream.getvalue()
