"""dagc compiles a strategy for deploying a mixture-of-experts model into a checked, priced graph.

From Python, each function does what the command of its name does, and returns objects:

- `compile`: check and price a plan; `compare`: plans side by side; `search`: the best strategies;
- `memory`: what each GPU holds; `launch`: the commands of engines; `whatif`: sensitivities and break-even points;
- `simulate`: requests under load; `read`: what a flat notation such as `TP2-EP4` means.

See `docs/python.md` and `dagc.api`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagc.api.commands import compare, launch, memory, read, search, simulate, whatif
    from dagc.api.compiling import Plan, Strategy, compile
    from dagc.api.result import NoSuchStrategy, NothingToShow
    from dagc.api.results import (
        CompareResult,
        LaunchResult,
        MemoryResult,
        ReadResult,
        SearchResult,
        SimulateResult,
        WhatIfResult,
    )

__all__ = [
    "CompareResult",
    "LaunchResult",
    "MemoryResult",
    "NoSuchStrategy",
    "NothingToShow",
    "Plan",
    "ReadResult",
    "SearchResult",
    "SimulateResult",
    "Strategy",
    "WhatIfResult",
    "compare",
    "compile",
    "launch",
    "memory",
    "read",
    "search",
    "simulate",
    "whatif",
]

_PLACES = {
    "compare": "commands", "launch": "commands", "memory": "commands", "read": "commands", "search": "commands",
    "simulate": "commands", "whatif": "commands", "Plan": "compiling", "Strategy": "compiling", "compile": "compiling",
    "NoSuchStrategy": "result", "NothingToShow": "result",
}  # fmt: skip
"""The modules of the names; those of results have their own."""


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for, because start-up counts."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dagc.api.{_PLACES.get(name, 'results')}"), name)


def __dir__() -> list[str]:
    return list(__all__)


class _Package(ModuleType):
    """The package, whose public names stay its own.

    An import of a package inside binds it here: `dagc.search`, the function, would become the package of that name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
