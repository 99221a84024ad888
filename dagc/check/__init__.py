"""Rules, one file each: over the text (`hierarchy`, `names`), over the plan (`degrees`, `gpus`, `advice`), over what a
plan costs (`priced`) and claims (`claims`). `static` and `priced` run them.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from dagc.diag.diagnostic import Diagnostic


@cache
def rules(family: str) -> tuple[Callable[..., Iterator[Diagnostic]], ...]:
    """The rules in the folder `family`, in the order of their codes."""
    folder = import_module(f"dagc.check.{family}")
    modules = [import_module(f"{folder.__name__}.{module.name}") for module in iter_modules(folder.__path__)]
    return tuple(module.check for module in sorted(modules, key=lambda module: module.CODE.code))
