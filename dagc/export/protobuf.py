"""The wire format of protocol buffers, as much as traces need: numbers and fields with a length."""

from __future__ import annotations

from functools import lru_cache

LENGTH = 2
"""Wire type of a field that begins with its length; numbers have 0."""


@lru_cache(maxsize=1 << 16)
def varint(value: int) -> bytes:
    """A number of at least 0, seven bits a byte, lowest first. Kept, because traces repeat their numbers."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(tag: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(tag << 3) + varint(value)


def field(tag: int, content: bytes) -> bytes:
    """A field that holds bytes, text or a message."""
    return varint(tag << 3 | LENGTH) + varint(len(content)) + content
