"""Tokens of commands as shells read them.

Variables of a command are known by name; all other text, which may come from a plan, is never read by a shell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote

VARIABLES = re.compile(r"(\$\(\(NODE \* \d+\)\)|\$(?:HEAD|NODE|SELF|MODEL|SCRIPT|DRAFT|PORT|PREFILL_\d+|DECODE_\d+)\b)")
"""What is left to the shell: places of a node, and names that a plan does not have."""


def quoted(token: str) -> str:
    """A token as one word of a shell."""
    return f'"{_escaped(token, _IN_QUOTES)}"' if VARIABLES.search(token) else quote(token)


_IN_QUOTES, _IN_DOCUMENT = re.compile(r'([\\"`$])'), re.compile(r"([\\`$])")


def _escaped(text: str, special: re.Pattern[str]) -> str:
    """A text in which a shell finds the variables alone. Every second part between them is one."""
    return "".join(part if i % 2 else special.sub(r"\\\1", part) for i, part in enumerate(VARIABLES.split(text)))


def written(name: str, text: str) -> str:
    """The command that writes a file, with a line break at its end, its variables filled in."""
    return f"cat > {quote(name)} <<{_END}\n{_escaped(text, _IN_DOCUMENT)}{_END}\n"


_END = "END_OF_FILE"


def line(tokens: Sequence[str], environment: Sequence[tuple[str, str]] = ()) -> str:
    """A command as a person types it, with its environment before it."""
    return " ".join([*(f"{name}={quoted(value)}" for name, value in environment), *map(quoted, tokens)])


def wrapped(tokens: Sequence[str], indent: str = "    ") -> str:
    """A command over lines, a flag with its values on each."""
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token.startswith("--") and lines[-1]:
            lines.append([])
        lines[-1].append(quoted(token))
    return f" \\\n{indent}".join(" ".join(words) for words in lines)
