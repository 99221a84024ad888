"""Tensor types in few letters: sizes that differ between phases or recur get a letter, and a key says what it is.

Letters are those of `graph.tensor`. A second size of the same letter is `t2`, a third `t3`.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from dagc.export.opened import NodeView
from dagc.graph.tensor import Dim

_ALWAYS = "tsm"
"""Letters of sizes that recur in nearly every operator."""

_MEANINGS = {
    "t": "tokens", "s": "context positions", "h": "heads", "d": "head width", "m": "hidden", "f": "feed-forward width",
    "e": "experts", "k": "experts per token", "v": "vocabulary", "c": "latent width",
}  # fmt: skip

_Sizes = tuple[int | None, ...]
"""Size in each phase, None in one that does not run the operator."""


class ShapesKey:
    """Grows with each tensor that is written; the key is complete after the last one."""

    def __init__(self, phases: tuple[str, ...]) -> None:
        self._phases = phases
        self._sizes: dict[str, list[_Sizes]] = {}
        self._plain: set[str] = set()
        self._sharded: set[str] = set()
        self._partial: set[str] = set()

    def text(self, view: NodeView) -> str:
        """`bf16[t/dp, h=64/tp, d=192]`: the output of an operator in all phases."""
        one = view.one.node.output
        axes = dict(one.sharded)
        told: list[str] = []
        for place, dim in enumerate(one.dims):
            size = self._size(dim, tuple(_at(view, phase, place) for phase in range(len(self._phases))))
            axis = axes.get(dim.letter)
            told.append(f"{size}/{axis}" if axis else size)
            self._sharded |= {f"/{axis}"} if axis else set()
        tail = f" +{one.partial}" if one.partial else ""
        self._partial |= {f"+{one.partial}"} if one.partial else set()
        return f"{one.dtype}[{', '.join(told)}]{tail}"

    def _size(self, dim: Dim, sizes: _Sizes) -> str:
        if dim.letter not in _ALWAYS and len({size for size in sizes if size is not None}) == 1:
            self._plain.add(dim.letter)
            return f"{dim.letter}={dim.size}"
        known = self._sizes.setdefault(dim.letter, [])
        for index, other in enumerate(known):
            if all(a is None or b is None or a == b for a, b in zip(sizes, other, strict=True)):
                known[index] = tuple(b if a is None else a for a, b in zip(sizes, other, strict=True))
                return _name(dim.letter, index)
        known.append(sizes)
        return _name(dim.letter, len(known) - 1)

    def lines(self, characters: int) -> tuple[str, ...]:
        """What the letters are, in lines of at most so many characters."""
        told = [*self._told()]
        told += [f"{letter} {_MEANINGS[letter]}" for letter in sorted(self._plain - self._sizes.keys())]
        told += [f"{' '.join(sorted(self._sharded))} sharded over that axis"] if self._sharded else []
        told += [f"{' '.join(sorted(self._partial))} partial sums over that axis"] if self._partial else []
        whole = "; ".join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in told)
        return tuple(wrap(f"shapes: {whole}", characters)) if told else ()

    def _told(self) -> Iterator[str]:
        for letter, known in self._sizes.items():
            for index, sizes in enumerate(known):
                found = [(phase, size) for phase, size in zip(self._phases, sizes, strict=True) if size is not None]
                if len({size for _, size in found}) == 1:
                    yield f"{_name(letter, index)} = {found[0][1]:,} {_MEANINGS[letter]}"
                    continue
                (phase, size), *others = found
                rest = "".join(f", {size:,} in {phase}" for phase, size in others)
                yield f"{_name(letter, index)} = {size:,} {_MEANINGS[letter]} in {phase}{rest}"


def _name(letter: str, index: int) -> str:
    return f"{letter}{index + 1}" if index else letter


def _at(view: NodeView, phase: int, place: int) -> int | None:
    """Size of a dimension in a phase; None where the phase has no such dimension."""
    shown = view.phases[phase]
    dims = shown.node.output.dims if shown else ()
    same = place < len(dims) and dims[place].letter == view.one.node.output.dims[place].letter
    return dims[place].size if same else None
