"""Finds the rules of a family: each module of a folder is one, with a `CODE` and a function `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules

from dagc.diag.diagnostic import Diagnostic


def rules(family: str) -> tuple[Callable[..., Iterator[Diagnostic]], ...]:
    """The rules in the folder `family`, in the order of their codes."""
    folder = import_module(f"dagc.check.{family}")
    modules = [import_module(f"{folder.__name__}.{module.name}") for module in iter_modules(folder.__path__)]
    return tuple(module.check for module in sorted(modules, key=lambda module: module.CODE.code))
