"""The library's modules and the codes that they declare."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

import dagc
from dagc.diag.diagnostic import Code


def library_modules() -> list[ModuleType]:
    """Every module of the library, imported, by name."""
    return [import_module(info.name) for info in pkgutil.walk_packages(dagc.__path__, "dagc.", onerror=_fail)]


def declared_codes() -> list[tuple[str, Code]]:
    """Every code with the module that declares it, one entry a constant; a code imported by name is no declaration."""
    found: dict[int, tuple[str, Code]] = {}
    for module in library_modules():
        for code in _codes_of(module):
            found.setdefault(id(code), (module.__name__, code))
    return sorted(found.values(), key=lambda entry: (entry[1].code, entry[0]))


def _codes_of(module: ModuleType) -> list[Code]:
    values: list[object] = []
    for value in vars(module).values():
        values += value if isinstance(value, tuple | list) else value.values() if isinstance(value, dict) else [value]
    return [value for value in values if isinstance(value, Code)]


def _fail(name: str) -> None:
    raise ImportError(f"{name} cannot be imported")
