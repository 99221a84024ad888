"""Chakra execution traces of a deployment, which simulators of networks replay: a directory for each phase.

Turns a compiled strategy into `chakra/PHASE/rank.N.et`, one file for each GPU, and `chakra/PHASE/groups.json`. A phase
is a replay of its own, from its beginning to its end: one prefill, one KV-cache transfer, one decode step. Every
rank has a file in every phase, because a replay wants that; who has no part in it idles for a microsecond. Files are
made while they are written, so memory stays flat, and what would be too large to read is refused before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain

from dagc.diag.diagnostic import Diagnostic
from dagc.export.chakra.rank import GroupNumbers, PlacedPhase, RankTrace, idle_trace, placed_phases
from dagc.export.chakra.rank_programs import RankProgram, nodes_of_ranks, rank_programs
from dagc.export.ranks import RankSelection
from dagc.export.requested import Files, missing_rank, narrower_refusal, of_chakra
from dagc.export.trace.tracks import Traced

_NODE_BYTES = 1_500
"""Memory of a node once read: a message of some ten parts."""

_Programs = dict[int, tuple[RankProgram, ...]]
"""By the identity of a timeline."""


def chakra_files(
    traced: Traced, ranks: RankSelection | None = None, limit: int | None = None
) -> tuple[Files, tuple[Diagnostic, ...], tuple[str, ...]]:
    """Streams by file name, or why they are refused, and their size where they are large. `limit` is in bytes, as
    `--memory-limit` has it. What ranks do is worked out when the first of them is written.
    """
    missing = missing_rank(traced, ranks)
    if missing:
        return {}, (missing,), ()
    phases = placed_phases(traced)
    timelines = {id(placed.timeline): placed.timeline for placed in chain.from_iterable(phases.values())}
    counts = {key: nodes_of_ranks(timeline.priced) for key, timeline in timelines.items()}

    def size(selection: RankSelection) -> tuple[int, int]:
        found = sum(_count(placed, counts, selection) for placed in chain.from_iterable(phases.values()))
        return found, _NODE_BYTES * found

    chosen = ranks or RankSelection()
    refused = narrower_refusal(traced, "the Chakra traces", size, chosen, limit)
    if refused:
        return {}, (refused,), ()
    files: Files = {}
    for name, phase in phases.items():
        files |= _phase_files(f"chakra/{name}", _Replayed(phase), chosen, traced.plan.deployment.gpus)
    return files, (), of_chakra(traced, size(chosen)[0])


def _count(placed: PlacedPhase, counts: dict[int, tuple[int, ...]], selection: RankSelection) -> int:
    return sum(
        count * int(selection.holds(ranks).sum())
        for count, ranks in zip(counts[id(placed.timeline)], placed.ranks, strict=True)
    )


class _Replayed:
    """A phase of all replicas, and what its ranks do, worked out once when it is read."""

    def __init__(self, phase: Sequence[PlacedPhase]) -> None:
        self.phase = phase

    @cached_property
    def programs(self) -> _Programs:
        timelines = {id(placed.timeline): placed.timeline for placed in self.phase}
        return {key: rank_programs(timeline.priced) for key, timeline in timelines.items()}

    @cached_property
    def groups(self) -> GroupNumbers:
        return GroupNumbers(self.phase, self.programs)


def _phase_files(directory: str, replayed: _Replayed, chosen: RankSelection, gpus: int) -> Files:
    phase = replayed.phase
    places = {
        rank: (replica, team, local)
        for replica, placed in enumerate(phase)
        for team, ranks in enumerate(placed.ranks)
        for local, rank in enumerate(ranks.tolist())
    }
    files: Files = {f"{directory}/groups.json": _groups(replayed)}
    for rank in chosen.of(gpus):
        files[f"{directory}/rank.{rank}.et"] = _trace(replayed, places.get(rank))
    return files


def _groups(replayed: _Replayed) -> Iterator[bytes]:
    yield replayed.groups.json()


def _trace(replayed: _Replayed, place: tuple[int, int, int] | None) -> Iterator[bytes]:
    phase = replayed.phase
    program = None if place is None else replayed.programs[id(phase[place[0]].timeline)][place[1]]
    if place is None or program is None or not program.count:
        yield idle_trace()
        return
    replica, team, local = place
    yield from RankTrace(phase[replica], replica, team, local, replayed.groups).pieces(program)
