"""A stack of layers that follows a simple pattern is stated by the pattern, as the language writes it.

So `model "config.json" { first_dense 0 }` can replace a field of it. What follows none keeps its stack.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dagc.catalog.attention import Attention
from dagc.catalog.model import FfnKind, LayerKind


def pattern_of(stack: tuple[LayerKind, ...], attention: Attention, is_dense: bool) -> dict[str, Any]:
    """Fields of `ModelSpec`: the pattern, or the stack itself."""
    window = _window(stack)
    placing = (0, 1) if is_dense else _experts([kind.ffn is FfnKind.MOE for kind in stack])
    is_simple = all(kind.mixer == attention and kind.ffn is not FfnKind.NONE for kind in stack)
    if window is None or placing is None or not is_simple:
        return {"stack": stack}
    width, every = window
    first, step = placing
    return {
        "attention": replace(attention, window=width, window_every=every),
        "first_dense": first,
        "moe_every": step,
    }


def _window(stack: tuple[LayerKind, ...]) -> tuple[int | None, int] | None:
    """The window and how often it stands, counted from layer 0; None where that is no pattern."""
    windows = [kind.window for kind in stack]
    width = windows[0]
    if width is None:
        return (None, 1) if set(windows) == {None} else None
    every = next((i for i, other in enumerate(windows) if i and other is not None), len(windows))
    expected = [width if i % every == 0 else None for i in range(len(windows))]
    return (width, every) if windows == expected else None


def _experts(moe: list[bool]) -> tuple[int, int] | None:
    """(first_dense, moe_every) of layers with experts; None where that is no pattern."""
    found = [i for i, is_moe in enumerate(moe) if is_moe]
    if not found:
        return None
    every = found[1] - found[0] if len(found) > 1 else 1
    first = found[0] - (every - 1)
    expected = [i >= first and (i - first) % every == every - 1 for i in range(len(moe))]
    return (first, every) if first >= 0 and moe == expected else None
