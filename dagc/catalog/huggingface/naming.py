"""Lists of a quantisation that name modules.

An entry is the path of a module or a part of it, whose steps may hold `*`; behind `re:` a pattern that the path starts
with; or `Linear`, every matrix. Entries of single layers are kept by layer, because lists of large models have hundreds
of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from fnmatch import fnmatchcase

from dagc.catalog.huggingface.modules import Module

_ALL = frozenset({"Linear", "re:.*"})
_ROOTS = ("model.", "language_model.model.", "model.language_model.", "backbone.", "")
"""What the path of a layer starts with in checkpoints."""


class Names:
    """One list, of modules as `has` says, and `is_all` where it names every matrix."""

    def __init__(self, entries: Sequence[str]) -> None:
        self.is_all = not _ALL.isdisjoint(entries)
        self._patterns = [re.compile(entry[3:]) for entry in entries if entry.startswith("re:") and entry not in _ALL]
        self._steps: dict[str | None, list[list[str]]] = defaultdict(list)
        self._numbers_layers = any(re.search(r"\d", pattern.pattern) for pattern in self._patterns)
        for entry in entries:
            if not entry.startswith("re:"):
                steps = entry.split(".")
                steps = steps[steps.index("layers") :] if "layers" in steps else steps
                numbered = steps[1] if len(steps) > 1 and steps[0] == "layers" else "*"
                self._numbers_layers |= numbered != "*" and not numbered.isdecimal()
                self._steps[numbered if numbered.isdecimal() else None].append(steps)

    def has(self, module: Module) -> bool:
        """Whether an entry names the module by one of its names."""
        return any(self._names(path, module.layer) for path in module.paths())

    def of_layer(self, layer: int | None) -> Hashable:
        """What the list says of one layer alone: alike for layers of which it says the same."""
        if layer is None or self._numbers_layers:
            return layer
        return frozenset(".".join(steps[2:]) for steps in self._steps.get(str(layer), ()))

    def _names(self, path: str, layer: int | None) -> bool:
        if any(pattern.match(root + path) for pattern in self._patterns for root in _ROOTS):
            return True
        own = path.split(".")
        return any(_within(steps, own) for steps in self._of(layer))

    def _of(self, layer: int | None) -> Iterator[list[str]]:
        yield from self._steps.get(None, ())
        if layer is not None:
            yield from self._steps.get(str(layer), ())


def _within(steps: Sequence[str], path: Sequence[str]) -> bool:
    """Whether the steps are steps of the path that follow each other,."""
    starts = range(len(path) - len(steps) + 1)
    return any(all(fnmatchcase(p, s) for p, s in zip(path[i:], steps, strict=False)) for i in starts)
