"""dagc compiles a strategy for deploying a mixture-of-experts model into a checked, priced graph.

`dagc.compile` does from Python what the command does; see `dagc.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagc.api import NothingToShow, Plan, Strategy, compile

__all__ = ["NothingToShow", "Plan", "Strategy", "compile"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for, because start-up counts."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("dagc.api"), name)
