"""The compiled loop: `kernel.c` as WebAssembly, in a memory of its own for each program.

The module is the same bytes on every machine and needs no compiler; its machine code is kept in the user's cache.
State and record are views of the guest's memory, so nothing is copied out.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import wasmtime

from dagc.schedule.executor import Array, Ended, Executor, PathPlaces, Room
from dagc.schedule.program import IssueTable, Program
from dagc.schedule.structure import NONE
from dagc.schedule.template import GROUP_WORDS, TEMPLATE_WORDS, PackedTemplate, TimedTemplate
from dagc.wasm import NoAddressSpace, compiled

MODULE = Path(__file__).with_name("kernel.wasm")

_PAGE = 65_536
_MOST_BYTES = (1 << 31) - 1
"""Of an instance's memory: addresses are signed words."""

_LARGE_BYTES = 128 << 20
"""Of an instance that is not used for a second program: it takes no time to make another, and memory never shrinks."""

_MOST_PATH = 8_192
"""Places of the critical path that are walked at a time."""

_NOTHING = -(1 << 63)
"""The makespan of issues that do not count."""

_WORDS = (
    *("issues", "rows", "entries", "issue_count", "templates", "lane_maps", "widths"),
    *("ranks", "most_streams", "most_inputs"),
    *("lanes", "streams", "messages", "lane_rows", "stream_rows", "message_rows", "stream_counts", "message_widths"),
    *("values", "scratch", "memos", "stream_places", "memo_size", "starts", "sources", "first_row", "first_entry"),
    *("first", "last", "reverse", "row", "rank", "most", "path", "team", "older", "newer"),
    *("last_issue", "count", "copied"),
)
"""Words of `Phase` in `kernel.c`, up to its two times, `floor` and `time`."""

_MEMO_WORDS = 7
"""Words of `Memo` in `kernel.c` before its times."""

_WORD = {name: number for number, name in enumerate(_WORDS)}


_held: list[type] = []
"""Types of argument lists: a call would make its own, and leave it to a collector that does not run here."""


@cache
def _module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    package: Any = wasmtime
    values, externs = package._bindings.wasmtime_val, package._bindings.wasmtime_extern
    _held.extend((values * 0, values * 1, externs * 0))
    try:
        return compiled(MODULE.read_bytes())
    except NoAddressSpace as error:
        raise MemoryError("less address space is available than scheduling takes") from error


class _Memory:
    """Arrays side by side in the memory of an instance, laid out before any is made: growing may move it.

    `owner` is a token of the kernel whose arrays they are.
    """

    owner: object = None

    def __init__(self) -> None:
        """Of a new instance."""
        engine, module = _module()
        self.store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self._memory: Any = exports["memory"]
        self.functions: dict[str, Any] = {name: exports[name] for name in ("run", "walk_back", "overlap")}
        base: Any = exports["__heap_base"]
        self._begin = -(-int(base.value(self.store)) // 8) * 8
        self.clear()

    def clear(self) -> None:
        """Forget all arrays."""
        self.end = self._begin
        self.addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[tuple[int, ...], type[np.int32 | np.int64]]] = {}

    def place(self, name: str, shape: tuple[int, ...], dtype: type[np.int32 | np.int64]) -> None:
        """Room for an array; an empty one has an address too."""
        self.addresses[name] = self.end
        self._shapes[name] = shape, dtype
        self.end += -(-prod(shape) * np.dtype(dtype).itemsize // 8) * 8

    def views(self) -> dict[str, Array]:
        """The arrays. Raises MemoryError where there is no memory for them."""
        missing = -(-(self.end - self._memory.data_len(self.store)) // _PAGE)
        try:
            if self.end > _MOST_BYTES or (missing > 0 and self._memory.grow(self.store, missing) < 0):
                raise MemoryError(f"a schedule needs {self.end:,} bytes")
        except wasmtime.WasmtimeError as error:
            raise MemoryError(f"a schedule needs {self.end:,} bytes") from error
        address = ctypes.addressof(self._memory.data_ptr(self.store).contents)
        whole = np.asarray(_Bytes(self, address, self.end))
        found: dict[str, Array] = {}
        for name, (shape, dtype) in self._shapes.items():
            begin = self.addresses[name]
            size = prod(shape) * np.dtype(dtype).itemsize
            found[name] = whole[begin : begin + size].view(dtype).reshape(shape)
        return found


class _Own(threading.local):
    """The memory of each thread, which one kernel at a time uses."""

    memory: _Memory | None = None

    def cleared(self) -> _Memory:
        """Without arrays; a new one after one that has grown large."""
        if self.memory is None or self.memory.end > _LARGE_BYTES:
            self.memory = _Memory()
        self.memory.clear()
        return self.memory


_own = _Own()


class _Bytes:
    """Bytes at an address for numpy, whose arrays keep their owner."""

    def __init__(self, owner: object, address: int, size: int) -> None:
        self.owner = owner
        self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (address, False), "version": 3}


class Kernel(Executor):
    """A program in the memory of the instance, until another one is."""

    def __init__(
        self,
        program: Program,
        templates: Sequence[TimedTemplate],
        tables: Iterable[IssueTable],
        record: Room,
    ) -> None:
        """`tables` are those that will run."""
        super().__init__(program, templates)
        self._tables = {
            id(table): (table, f"issues {n}", f"rows {n}", f"entries {n}") for n, table in enumerate(tables)
        }
        memory = self._memory = _own.cleared()
        self._token = memory.owner = object()
        packed = [one.packed for one in templates]
        memory.place("phase", (-(-len(_WORDS) // 2) + 2,), np.int64)
        for table, *names in self._tables.values():
            for name, array in zip(names, (table.issues, table.rows, table.entries), strict=True):
                memory.place(name, array.shape, np.int32)
        shapes = self.shapes(record)
        for name, (shape, dtype) in shapes.items():
            memory.place(name, shape, dtype)
        most = max((len(one.steps) for one in templates), default=0)
        memory.place("values", (program.state.most_inputs + most, program.ranks), np.int64)
        memory.place("scratch", (max(most, program.state.most_streams), program.ranks), np.int64)
        memos = _memo_shape(program)
        memory.place("memos", memos, np.int64)
        memory.place("lane_maps", program.lane_maps.shape, np.int32)
        memory.place("widths", program.widths.shape, np.int32)
        memory.place("templates", (len(packed), TEMPLATE_WORDS), np.int32)
        memory.place("words", (sum(one.words.size for one in packed),), np.int32)
        memory.place("durations", (sum(one.row_count for one in packed), program.ranks), np.int64)
        memory.place("groups", (_group_words(packed) if program.ranks > 1 else 0,), np.int32)
        memory.place("path", (_MOST_PATH, 4), np.int64)
        views = memory.views()
        for name in shapes:
            setattr(self, name, views[name])
        self._phase, self._times = views["phase"].view(np.int32), views["phase"][-2:]
        self._path = views["path"]
        for table, *names in self._tables.values():
            for name, array in zip(names, (table.issues, table.rows, table.entries), strict=True):
                views[name][...] = array
        views["lane_maps"][...], views["widths"][...] = program.lane_maps, program.widths
        _load(packed, views, memory.addresses, program.ranks)
        fixed = {"ranks": program.ranks, "most_streams": program.state.most_streams,
                 "most_inputs": program.state.most_inputs, "stream_places": memos[0] - 1,
                 "memo_size": memos[1]}  # fmt: skip
        fixed["most"] = _MOST_PATH
        self._phase[: len(_WORDS)] = [fixed.get(name, memory.addresses.get(name, 0)) for name in _WORDS]
        self.begin()

    def run(
        self,
        table: IssueTable,
        issues: range,
        *,
        record: tuple[int, int | None] | None = None,
        is_reversed: bool = False,
        floor: int = 0,
    ) -> Ended | None:
        """Run issues, as `Executor.run` says."""
        address = self._memory.addresses
        words = {"first": issues.start, "last": issues.stop, "reverse": int(is_reversed)}
        if record is None:
            words |= {"starts": 0, "sources": 0}
        else:
            row, entry = record
            words |= {"starts": address["starts"], "sources": 0 if entry is None else address["sources"]}
            words |= {"first_row": row, "first_entry": entry or 0}
        self._times[0] = floor
        self._call("run", table, words)
        makespan = int(self._times[1])
        return None if makespan == _NOTHING else Ended(makespan, int(self._phase[_WORD["last_issue"]]))

    @property
    def copied(self) -> int:
        """Invocations of the last run whose times are those of one before, shifted."""
        return int(self._phase[_WORD["copied"]])

    def walk_back(self, table: IssueTable, row: int, rank: int) -> PathPlaces:
        """The critical path, as `Executor.walk_back` says."""
        address = self._memory.addresses
        words = {"starts": address["starts"], "sources": address["sources"], "first_row": 0, "first_entry": 0}
        found: list[npt.NDArray[np.int64]] = []
        while True:
            self._call("walk_back", table, {**words, "row": row, "rank": rank})
            count = int(self._phase[_WORD["count"]])
            if count < _MOST_PATH:
                break
            found.append(self._path[:-1].copy())
            row, rank = self._path[-1:, :1].view(np.int32)[0].tolist()
        places = np.concatenate([*found, self._path[:count]])
        rows, ranks, teams, _ = places[:, :2].copy().view(np.int32).T.astype(np.int64)
        return PathPlaces(rows, ranks, teams, places[:, 2], places[:, 3])

    def overlap(self, table: IssueTable, periods: Sequence[int], team: int, rank: int) -> int:
        """Time in which both lanes are busy, as `Executor.overlap` says."""
        older, newer = periods if len(periods) > 1 else (NONE, *periods)
        starts = self._memory.addresses["starts"]
        self._call("overlap", table, {"starts": starts, "team": team, "rank": rank, "older": older, "newer": newer})
        return int(self._times[1])

    def _call(self, name: str, table: IssueTable, words: Mapping[str, int]) -> None:
        """Call a function of the kernel on a table, with these words of the phase."""
        if self._memory.owner is not self._token:
            raise ValueError("another program is in the memory of the kernel")
        _, *names = self._tables[id(table)]
        address = self._memory.addresses
        for word, value in (
            *zip(("issues", "rows", "entries"), map(address.__getitem__, names), strict=True),
            *words.items(),
        ):
            self._phase[_WORD[word]] = value
        self._phase[_WORD["issue_count"]] = len(table)
        self._memory.functions[name](self._memory.store, address["phase"])


def _memo_shape(program: Program) -> tuple[int, int]:
    """Shape of the memos of invocations: one for each stage, and one more; that of a single stage is never copied."""
    size, ranks = program.state, program.ranks
    if ranks == 1 or len(program.graph.programs[0]) == 1:
        return 1, 0
    lanes = max((one.structure.lanes for one in program.templates), default=0)
    return size.stream_places + 1, _MEMO_WORDS + 2 * (lanes * ranks + size.most_messages * (1 + 2 * ranks))


def _group_words(packed: Iterable[PackedTemplate]) -> int:
    return sum(GROUP_WORDS + members.size for one in packed for _, members in one.groups)


def _load(packed: Sequence[PackedTemplate], views: dict[str, Array], addresses: dict[str, int], ranks: int) -> None:
    """Write the tables of templates, with addresses where they point."""
    word = row = group = 0
    for number, one in enumerate(packed):
        begin = addresses["words"] + 4 * word
        words = views["words"][word : word + one.words.size]
        words[...] = one.words
        words[one.pointers] = begin + 4 * words[one.pointers]
        words[one.duration_words] = addresses["durations"] + 8 * ranks * (row + one.duration_rows)
        header = views["templates"][number]
        header[...] = one.header
        header[6:] = begin + 4 * header[6:]
        for duration in one.durations:
            views["durations"][row : row + len(duration), : duration.shape[1] if duration.shape[1] > 1 else ranks] = (
                duration
            )
            row += len(duration)
        for at, members in one.groups if ranks > 1 else ():
            words[at] = addresses["groups"] + 4 * group
            views["groups"][group : group + GROUP_WORDS] = (
                *members.shape,
                addresses["groups"] + 4 * (group + GROUP_WORDS),
            )
            views["groups"][group + GROUP_WORDS : group + GROUP_WORDS + members.size] = members.ravel()
            group += GROUP_WORDS + members.size
        word += one.words.size
