"""The words that the syntax itself knows, and the tokens that it is read as.

Entries are open: a field needs no grammar. One thing cannot be read off the text, though: whether a word after a
name or number is a value, or the name of the next entry. Newlines and what follows the word decide most cases
(`structure.py`); the two short tables below decide the rest. A field that is missing here still parses when it is
written on a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dagc.degrees import AxisKind
from dagc.syntax.tree import ScopeKind

BLOCKS = ("model", "cluster", "workload", "require", "claims", "engine", "rules")
STRATEGY = "strategy"
STATEMENTS = (*BLOCKS, STRATEGY)
STATEMENT_TOKENS = frozenset({"KEYWORD", "STRATEGY", "BARE"})
"""Tokens with which a statement begins."""

AXES = tuple(kind.value for kind in AxisKind)
SCOPES = tuple(kind.value for kind in ScopeKind)
RESERVED = frozenset((*STATEMENTS, *AXES, *SCOPES))
"""Words that cannot be a value in a block's head: they end it."""

WORD_VALUED = frozenset({
    "kind", "dtype", "weight_dtype", "expert_dtype", "activation_dtype", "kv_dtype",
    "kv_cache_dtype", "torch_dtype", "precision",
    "gated", "tied", "bias", "qkv_bias", "out_bias", "attention_bias", "router_bias", "shared_gate",
    "sinks", "qk_norm", "qk_norm_whole", "tie_word_embeddings",
    "routing", "device", "source", "name", "engine", "collectives", "calibration", "trace", "lengths",
    "enable_chunked_prefill", "enable_mixed_chunk", "async_scheduling", "disable_overlap_schedule",
    "disable_overlap_scheduler", "enable_balance",
    "allow", "warn", "deny",
})  # fmt: skip
"""Fields whose value is a word: the word after one of these is no entry, and one of these after a number is no unit."""

CONTINUATIONS = frozenset({"margin", "every", "x", "choice", "by", "to"})
"""Words that go on with the entry they are in: `ttft 35 ms margin 1.43`, `window 128 every 2`, `prompt 800 to 1000`."""

CONTINUED = {"seed": "routing"}
"""Words that go on with one entry, and are names of entries elsewhere: `routing zipf 1 seed 7`."""

FLAGS = frozenset({"sp", "beside"})
"""Names that need no value."""


@dataclass(frozen=True, slots=True)
class Token:
    """`type` is a terminal of `grammar/dagc.lark`; `start` to `end` are offsets; `line` counts from 1.

    Tokens of nothing written (a missing bracket, the start of a bare strategy) are empty.
    """

    type: str
    text: str
    start: int
    end: int
    line: int

    def as_role(self, role: str) -> Token:
        """The same text in another role."""
        return Token(role, self.text, self.start, self.end, self.line)

    def before(self, role: str, text: str = "") -> Token:
        """An empty token just before this one."""
        return Token(role, text, self.start, self.start, self.line)


def continues(tokens: Sequence[Token], word: str) -> bool:
    """Whether a word goes on with the entry that tokens end in, whatever follows it."""
    if word not in CONTINUED:
        return word in CONTINUATIONS
    start = next((i for i in range(len(tokens) - 1, -1, -1) if tokens[i].type == "NAME"), 0)
    words = [token.text for token in tokens[start:]]
    return words[0] == CONTINUED[word] and word not in words


def is_percentile(name: str, word: str) -> bool:
    """Whether a word between a name and its figure is a percentile: `ttft p99 <= 500 ms`."""
    return name not in WORD_VALUED and re.fullmatch(r"[pP][0-9]+(\.[0-9]+)?", word) is not None
