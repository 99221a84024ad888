"""The graph rank by rank as node-link data: one JSON node for each execution of an operator on a chosen rank.

Turns pieces of the expansion into text as they come; beside the current piece only one byte a row is kept,
whether it is shown. Virtual rows (groups, barriers, starts of messages) are shown where a chosen rank leads into them,
so edges stay linear in ranks. Each phase is one replica of the class of replicas that it represents; layers,
micro-batches and steps are written out. Times of start are in the trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from dagc.export.expanded import Expanded, pieces
from dagc.export.expanded_rows import count
from dagc.export.ranks import RankSelection
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.schedule.structure import LANES

SCHEMA_VERSION = 1


def expanded_graph(traced: Traced, ranks: RankSelection) -> Iterator[bytes]:
    """The graph in pieces; JSON when joined. Identities are `phase/row`."""
    named = tuple(zip(phase_names(traced.graph), (t.priced for t in traced.timelines), strict=True))
    attributes = {"strategy": traced.plan.name, "gpus": traced.plan.deployment.gpus, "replicas": traced.graph.replicas}
    phases = [{"name": name, "replicas": list(priced.graph.replicas)} for name, priced in named]
    head = {
        "schema_version": SCHEMA_VERSION,
        "directed": True,
        "multigraph": False,
        "graph": attributes | {"phases": phases},
    }
    yield orjson.dumps(head)[:-1] + b',"nodes":[\n'
    shown = {name: _Shown(priced, ranks) for name, priced in named}
    separator = b""
    for name, priced in named:
        for piece in pieces(priced):
            lines = list(_nodes(name, priced, piece, shown[name].mark(piece)))
            if lines:
                yield separator + b",\n".join(lines)
                separator = b",\n"
    yield b'\n],"edges":[\n'
    separator = b""
    for name, priced in named:
        for piece in pieces(priced):
            lines = list(_edges(name, piece, shown[name].kept))
            if lines:
                yield separator + b",\n".join(lines)
                separator = b",\n"
    yield b"\n]}\n"


class _Shown:
    """Which rows of a phase are shown."""

    def __init__(self, priced: PricedPhase, ranks: RankSelection) -> None:
        self.kept = np.zeros(count(priced.graph).rows, dtype=np.bool_)
        self._ranks = ranks

    def mark(self, piece: Expanded) -> npt.NDArray[np.bool_]:
        """Mark the rows of the next piece: real ones by rank, virtual ones where a shown row leads into them."""
        here = self.kept[piece.first : piece.first + piece.rows]
        here[:] = (piece.node >= 0) & self._ranks.holds(piece.rank)
        bounds = [*piece.parts.tolist(), piece.first + piece.rows]
        edges = piece.first_edge - piece.first_edge[0]
        for begin, end in pairwise(bounds):
            rows = slice(begin - piece.first, end - piece.first)
            edge, stop = edges[rows.start], edges[rows.stop]
            if piece.node[rows.start] < 0 and edge < stop:
                here[rows] = self.kept[piece.sources[edge:stop]].reshape(end - begin, -1).any(axis=1)
        return here


def _nodes(name: str, priced: PricedPhase, piece: Expanded, shown: npt.NDArray[np.bool_]) -> Iterator[bytes]:
    rows = np.flatnonzero(shown)
    columns: tuple[npt.NDArray[np.integer[Any]], ...] = (
        piece.template, piece.node, piece.rank, piece.step, piece.stage, piece.micro_batch, piece.segment, piece.copy,
        piece.lane, piece.duration,
    )  # fmt: skip
    values: list[list[int]] = [column[rows].tolist() for column in columns]
    for row, t, node, rank, step, stage, batch, segment, copy, lane, time in zip(rows.tolist(), *values, strict=True):
        identity = f"{name}/{piece.first + row}"
        if node < 0:
            virtual = {"id": identity, "phase": name, "key": None, "virtual": True}
            yield orjson.dumps(virtual | {"stage": stage, "micro_batch": batch, "seconds": time / PICOSECONDS})
            continue
        first = (
            priced.graph.programs[priced.graph.micro_batches[int(batch)]][int(stage)].segments[int(segment)].first_layer
        )
        yield orjson.dumps({
            "id": identity, "phase": name, "key": priced.graph.templates[int(t)].nodes[int(node)].key, "virtual": False,
            "rank": rank, "step": step, "stage": stage, "micro_batch": batch,
            "layer": None if first is None else first + copy, "lane": LANES[int(lane)].value,
            "seconds": time / PICOSECONDS,
        })  # fmt: skip


def _edges(name: str, piece: Expanded, kept: npt.NDArray[np.bool_]) -> Iterator[bytes]:
    targets = np.repeat(np.arange(piece.first, piece.first + piece.rows), np.diff(piece.first_edge))
    both = kept[targets] & kept[piece.sources]
    for source, target in zip(piece.sources[both].tolist(), targets[both].tolist(), strict=True):
        yield f'{{"source":"{name}/{source}","target":"{name}/{target}"}}'.encode()
