"""Text that any file can hold."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """Control characters, lone surrogates and non-characters, which XML cannot hold, become U+FFFD."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)
