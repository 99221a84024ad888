"""The compiled event loop: `kernel.c` as WebAssembly, which asks for the step times that it needs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import wasmtime

from dagc.memory_limit import default_limit
from dagc.simulate.gaps import Gaps, Nodes, Numbers
from dagc.simulate.policy import FirstToken, Policy
from dagc.simulate.requests import Requests
from dagc.wasm import compiled

MODULE = Path(__file__).with_name("kernel.wasm")

_PAGE = 65_536
_DONE, _NEED_LINE, _NEED_CELL, _ROWS_FULL = range(4)
_NONE = -1

MOST_BYTES = (1 << 32) - (1 << 26)
"""Bytes of one instance: addresses have 32 bits, and its stack needs some."""

_KEPT_COPIES = 2
"""Copies of kept rows while they become one array."""


class SimulationTooLarge(Exception):
    """A simulation needs more memory than `limit_bytes`; `needed_bytes` at least."""

    def __init__(self, needed_bytes: int, limit_bytes: int) -> None:
        super().__init__(needed_bytes, limit_bytes)
        self.needed_bytes, self.limit_bytes = needed_bytes, limit_bytes


class StepTimes(Protocol):
    """Step times of a service at nodes of four numbers, each ascending, one at least.

    `sequences`: decode sequences, first 0. `prompts`: tokens that a step with prompts computes, those of prompts and
    1 + drafted of each decode sequence, first 0. `contexts`: the position from which one prompt would attend to as many
    positions as those of the step do: (attended pairs) / tokens - (tokens + 1) / 2, below 0 where they are of several
    prompts. `fullness`: the tokens of all ranks by those of the fullest one times ranks, at most 1.
    """

    fullness: Nodes
    prompts: Nodes
    contexts: Nodes
    sequences: Nodes
    pieces: int

    def line(self, sequences: int, fullness: int, unit: int) -> Numbers:
        """A decode step of so many sequences a rank, by context: shape (pieces, 3), integers.

        Of each piece the context from which it holds (in 1 / `unit` token, over all sequences of a rank), the time
        there in picoseconds and its slope in 2^-16 picoseconds for each 1 / `unit` token.
        """
        ...

    def corner(self, sequences: int, prompt: int, context: int, fullness: int) -> int:
        """Picoseconds that prompt tokens add to a step, at four indices of nodes; below 0 where these are no step."""
        ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of the requests, by request, and of the steps.

    Times are picoseconds; `gaps` are rows of (base, slope, context, growth, steps, sequences): step i of a row left
    that many sequences base + (slope * (context + i * growth) >> 16) without a token. They are exact up to
    `gaps.EXACT_ROWS` rows; of more, each gap is a row of its own value rounded to 1 part in 8,192 at most, so that a
    percentile of them is as near to the exact one. `runs` are rows of (begin, end, steps, service and replica,
    sequences, prompt tokens, waiting, blocks), empty unless they are kept.

    Latency of a request from `issued`: TTFT = first - issued, wait in queue = admitted - issued (with the time into the
    server), end to end = last - issued, mean ITL = (last - first) / (output - 1), which the rounding of gaps does not
    touch. `place` is the queue it was in last, replica * ranks + rank.

    By queue, of service 0 and then of service 1: picoseconds times waiting requests, running ones, blocks in use.
    Divided by the time from the first issue to the last token they are the time-weighted queue length, batch size and
    blocks in use; blocks count as growing evenly between two changes of a batch, and a queue that ranks share counts
    with the first of them. `busy` has the picoseconds of each replica in steps: divided by the same time, its busy
    share.
    """

    issued: Numbers
    admitted: Numbers
    first: Numbers
    last: Numbers
    preempted: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    gaps: Numbers
    runs: Numbers
    busy: Numbers
    entered: Numbers
    """Of a request that two services share: when the second has its cache, and its decode waits."""
    waiting_time: Nodes
    running_time: Nodes
    block_time: Nodes


@cache
def _module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    return compiled(MODULE.read_bytes())


_SERVICE = (
    *("replicas", "ranks", "router"),
    *("mixes", "chunks", "budget", "prompt_budget", "threshold", "most_running", "reserve"),
    *("decodes_beside", "block", "blocks", "late", "ahead", "poll", "balance", "yielded", "drafted", "unit"),
    *("prefill_launch", "graph_tokens", "prefill_floor"),
    *("ratio_first", "ratio_min", "ratio_fall", "clip"),
    *("transfer_base", "transfer_token", "entered"),
)
_TIMES = 6 * 8 + 6 * 4
_SERVICE_BYTES = len(_SERVICE) * 8 + _TIMES
_RANK_BYTES = 12 * 4 + 8 * 8 + 2 * 4 + 4 * 8
_REPLICA_BYTES = 17 * 8 + 8 * 4
_GAP_ROOM, _RUN_ROOM = 1 << 18, 1 << 15


def _defers(policy: Policy) -> bool:
    """Whether tokens of a step come out when the next one is launched."""
    return policy.ahead and policy.prefill_launch > 0


class _Room:
    """Arrays side by side in the memory of an instance; all are placed before the first is used."""

    def __init__(self) -> None:
        engine, module = _module()
        self.store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self._memory: Any = exports["memory"]
        self.run: Any = exports["run"]
        base: Any = exports["__heap_base"]
        self.end = -(-int(base.value(self.store)) // 8) * 8
        self.places: dict[str, tuple[int, int]] = {}

    def place(self, name: str, size: int) -> None:
        self.places[name] = self.end, size
        self.end += -(-size // 8) * 8

    def begin(self) -> None:
        """Raises SimulationTooLarge where the arrays take more than half of the memory that is available."""
        self.limit_bytes = default_limit()
        if self.end > min(MOST_BYTES, self.limit_bytes):
            raise SimulationTooLarge(self.end, min(MOST_BYTES, self.limit_bytes))
        missing = -(-(self.end - self._memory.data_len(self.store)) // _PAGE)
        if missing > 0:
            self._memory.grow(self.store, missing)
        self.address = ctypes.addressof(self._memory.data_ptr(self.store).contents)

    def view(self, name: str, dtype: Any) -> npt.NDArray[Any]:
        begin, size = self.places[name]
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address + begin)).view(dtype)

    def at(self, name: str) -> int:
        return self.places[name][0]


@dataclass(slots=True)
class Simulation:
    """Requests on one service, or on prefill and decode services."""

    requests: Requests
    policies: Sequence[Policy]
    times: Sequence[StepTimes]
    entry: int = 0
    exit_delay: int = 0
    first_token: FirstToken = FirstToken.AFTER_PREFILL
    keeps_runs: bool = False
    counted: npt.NDArray[np.bool_] | None = None
    """Of each request whether the gaps between its tokens are kept; None for all."""
    report: Callable[[int, int], None] | None = None
    """Takes how many requests have ended, of how many, now and then while it runs."""
    most_lines: int = 4096
    _room: _Room = field(init=False)
    _state: int = 0
    _margin: int = 0
    _gap_room: int = 0

    def run(self) -> Simulated:
        """All of it. Raises SimulationTooLarge where that takes more than half of the memory that is available."""
        room = self._room = _Room()
        count = len(self.requests)
        ranks = sum(p.replicas * p.ranks for p in self.policies)
        replicas = sum(p.replicas for p in self.policies)
        words = ("issued", "entered", "admitted", "first", "last", "progress")
        halves = ("next", "computed", "taken", "held", "left", "preempted", "place")
        room.place("sim", 512)
        room.place("arrival", 8 * count)
        for name in ("prompt", "output", "hit"):
            room.place(name, 4 * count)
        room.place("counted", count)
        for name in words:
            room.place(name, 8 * count)
        for name in halves:
            room.place(name, 4 * count)
        room.place("services", _SERVICE_BYTES * len(self.policies))
        room.place("ranks", _RANK_BYTES * ranks)
        room.place("replicas", _REPLICA_BYTES * replicas)
        room.place("dirty", 4 * replicas)
        room.place("heap", 16 * (2 * count + 4 * replicas + 16))
        # Rows that one event adds at most, and those of tokens that come out as the next steps begin.
        most_running = [p.ranks * min(p.most_running, count) for p in self.policies]
        deferred = sum(p.replicas * n for p, n in zip(self.policies, most_running, strict=True) if _defers(p))
        self._margin = 2 * max(most_running) + 4 + deferred
        self._gap_room = max(_GAP_ROOM, 2 * self._margin)
        room.place("gaps", 48 * self._gap_room)
        room.place("runs", 64 * _RUN_ROOM)
        room.place("look", 16 * (1 + min(max(p.most_running for p in self.policies), count)))
        number = 0
        for p in self.policies:
            for _ in range(p.replicas * p.ranks):
                most = min(p.most_running, count)
                room.place(f"running{number}", 4 * most)
                room.place(f"composed{number}", 4 * most)
                number += 1
        number = 0
        for p, n in zip(self.policies, most_running, strict=True):
            for _ in range(p.replicas):
                room.place(f"outputs{number}", 4 * n * _defers(p))
                number += 1
        for i, t in enumerate(self.times):
            lines = min(self.most_lines, self.policies[i].most_running, count)
            room.place(f"lines{i}", 8 * lines * len(t.fullness) * t.pieces * 3)
            room.place(f"corners{i}", 8 * len(t.sequences) * len(t.prompts) * len(t.contexts) * len(t.fullness))
            for name in ("fullness", "prompts", "contexts", "sequences"):
                room.place(f"{name}{i}", 8 * len(getattr(t, name)))
        room.begin()
        self._fill(words, halves)
        return self._loop()

    def _fill(self, words: tuple[str, ...], halves: tuple[str, ...]) -> None:
        room, requests = self._room, self.requests
        for name in ("arrival", "prompt", "output", "hit"):
            room.view(name, np.int64 if name == "arrival" else np.int32)[...] = getattr(requests, name)
        room.view("counted", np.int8)[...] = 1 if self.counted is None else self.counted
        for name in words:
            room.view(name, np.int64)[...] = 0 if name == "progress" else _NONE
        for name in halves:
            room.view(name, np.int32)[...] = _NONE if name in ("left", "next") else 0
        self._fill_services()
        replicas = room.view("replicas", np.uint8).reshape(-1, _REPLICA_BYTES)
        replicas[...] = 0
        replicas[:, :8] = 255
        replicas[:, 88:96].view(np.int64)[...] = np.iinfo(np.int64).max
        replicas[:, 152:156].view(np.int32)[:, 0] = [room.at(f"outputs{i}") for i in range(len(replicas))]
        sim = room.view("sim", np.uint8)
        sim[...] = 0
        sim[:48].view(np.int64)[...] = (
            len(requests), len(self.policies), requests.cap, self.entry, self.exit_delay, self.first_token,
        )  # fmt: skip
        pointers = (
            *("arrival", "prompt", "output", "hit"), *words, *halves,
            *("services", "ranks", "replicas", "dirty", "heap", "gaps", "runs", "look", "counted"),
        )  # fmt: skip
        addresses = [room.at(name) for name in pointers]
        end = 48 + 4 * len(addresses)
        sim[48:end].view(np.int32)[...] = addresses
        end = -(-end // 8) * 8
        self._state = end
        sim[end : end + 32].view(np.int64)[...] = self._gap_room, _RUN_ROOM, int(self.keeps_runs), self._margin
        sim[end + 48 : end + 56].view(np.int64)[...] = _NONE

    def _fill_services(self) -> None:
        """Services and their ranks."""
        room, requests = self._room, self.requests
        services = room.view("services", np.uint8).reshape(len(self.policies), _SERVICE_BYTES)
        number = 0
        rank_bytes = room.view("ranks", np.uint8).reshape(-1, _RANK_BYTES)
        for i, (p, t) in enumerate(zip(self.policies, self.times, strict=True)):
            one = 1 << 20
            given = {
                "ratio_first": round(p.ratio_first * one), "ratio_min": round(p.ratio_min * one),
                "ratio_fall": round((p.ratio_first - p.ratio_min) * one / p.ratio_steps), "entered": 0,
            }  # fmt: skip
            row = services[i]
            row[: len(_SERVICE) * 8].view(np.int64)[...] = [
                int(given[name] if name in given else getattr(p, name)) for name in _SERVICE
            ]
            rest = row[len(_SERVICE) * 8 :]
            lines = min(self.most_lines, p.most_running, len(requests))
            rest[:48].view(np.int64)[...] = (
                lines, t.pieces, len(t.fullness), len(t.prompts), len(t.contexts), len(t.sequences),
            )  # fmt: skip
            names = ("lines", "corners", "fullness", "prompts", "contexts", "sequences")
            # Lines and corners, most of the memory, stay 0: what is never written to takes neither time nor memory.
            rest[48:].view(np.int32)[...] = [room.at(f"{name}{i}") for name in names]
            for name in names[2:]:
                room.view(f"{name}{i}", np.float64)[...] = getattr(t, name)
            for _ in range(p.replicas * p.ranks):
                rank = rank_bytes[number]
                rank[:48].view(np.int32)[...] = (_NONE, _NONE, 0, 0, 0, _NONE, 0, 0, _NONE, _NONE, 0, 0)
                rank[48:112].view(np.int64)[...] = (p.blocks, given["ratio_first"], 0, 0, 0, 0, 0, 0)
                rank[120:] = 0
                rank[112:120].view(np.int32)[...] = room.at(f"running{number}"), room.at(f"composed{number}")
                number += 1

    def _loop(self) -> Simulated:
        room = self._room
        # After the four limits: now, issued, scheduled, in flight, finished, heap, dirty, gaps, runs; service, needs.
        state = room.view("sim", np.uint8)[self._state + 32 : self._state + 32 + 8 * 14].view(np.int64)
        gaps = Gaps()
        runs: list[Numbers] = []
        kept = 0
        while True:
            status = room.run(room.store, room.at("sim"))
            if status == _ROWS_FULL and self.report is not None:
                self.report(int(state[4]), len(self.requests))
            if status in (_DONE, _ROWS_FULL):
                gaps.add(room.view("gaps", np.int64)[: 6 * state[7]].reshape(-1, 6))
                runs.append(room.view("runs", np.int64)[: 8 * state[8]].reshape(-1, 8).copy())
                kept += _KEPT_COPIES * runs[-1].nbytes
                if room.end + kept > room.limit_bytes:
                    raise SimulationTooLarge(room.end + kept, room.limit_bytes)
                state[7:9] = 0
                if status == _DONE:
                    break
            service, first, *rest = (int(number) for number in state[9:14])
            times, policy = self.times[service], self.policies[service]
            if status == _NEED_LINE:
                shape = (-1, len(times.fullness), times.pieces, 3)
                lines = room.view(f"lines{service}", np.int64).reshape(shape)
                lines[first - 1, rest[0]] = ~times.line(first, rest[0], policy.unit)
            elif status == _NEED_CELL:
                shape = tuple(len(n) for n in (times.sequences, times.prompts, times.contexts, times.fullness))
                corners = room.view(f"corners{service}", np.int64).reshape(shape)
                corners[first, rest[0], rest[1], rest[2]] = ~times.corner(first, rest[0], rest[1], rest[2])
        result = {name: room.view(name, np.int64).copy() for name in ("issued", "entered", "admitted", "first", "last")}
        if (result["last"] < 0).any():
            raise RuntimeError(f"{int((result['last'] < 0).sum())} requests are never computed to their end")
        busy = room.view("replicas", np.uint8).reshape(-1, _REPLICA_BYTES)[:, 120:128].copy().view(np.int64).ravel()
        areas = room.view("ranks", np.uint8).reshape(-1, _RANK_BYTES)[:, 128:152].copy().view(np.float64)
        return Simulated(
            **result,
            preempted=room.view("preempted", np.int32).copy(),
            place=room.view("place", np.int32).copy(),
            gaps=gaps.rows(),
            runs=np.concatenate(runs),
            busy=busy,
            waiting_time=areas[:, 0],
            running_time=areas[:, 1],
            block_time=areas[:, 2],
        )
