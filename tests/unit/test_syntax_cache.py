"""The grammar's tables on disk: used where they can be, never in the way."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import lark
import pytest

import dagc
from dagc.source import Source
from dagc.syntax import parser_grammar
from dagc.syntax.parser import parse
from dagc.syntax.parser_grammar import grammar

PROGRAM = """
from dagc.source import Source
from dagc.syntax.parser import parse
assert parse(Source("p", "pp 4 < ep 16 ; tp 2 >")).file is not None
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory, and no parser in memory before or after."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    grammar.cache_clear()
    return tmp_path


def parses() -> bool:
    grammar.cache_clear()
    return parse(Source("p", "pp 4 < ep 16 ; tp 2 >")).file is not None


def test_tables_are_kept_and_used(fresh: Path) -> None:
    assert parses()
    (file,) = (fresh / "dagc").iterdir()
    written = file.stat().st_mtime_ns
    assert parses()
    assert [f.stat().st_mtime_ns for f in (fresh / "dagc").iterdir()] == [written]


def test_a_spoilt_file_is_replaced(fresh: Path) -> None:
    assert parses()
    (file,) = (fresh / "dagc").iterdir()
    file.write_bytes(b"\\0")
    assert parses()


def test_a_file_whose_content_was_changed_is_replaced(fresh: Path) -> None:
    """Another grammar under the digest of this one: `pp` would split nothing."""
    assert parses()
    (file,) = (fresh / "dagc").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"PERCENT"', b'"PERCUNT"'))
    assert file.read_bytes() != whole and parses()
    assert b"PERCUNT" not in file.read_bytes()


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_file_that_others_may_write_is_replaced(fresh: Path, mode: int) -> None:
    assert parses()
    (file,) = (fresh / "dagc").iterdir()
    file.chmod(mode)
    assert parses()
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_code_of_a_cache_file_is_run(fresh: Path) -> None:
    """A pickle that would make a file, in the place and under the digest of a cache file."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (fresh / "run",)

    assert parses()
    (file,) = (fresh / "dagc").iterdir()
    content = pickle.dumps(Evil())
    file.write_bytes(content)
    assert parses() and not (fresh / "run").exists()
    file.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    assert parses() and not (fresh / "run").exists()


def test_a_directory_that_cannot_be_made(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fresh / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "file"))
    assert parses()


def test_processes_that_start_together(fresh: Path) -> None:
    root = str(Path(dagc.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    runs = [subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment) for _ in range(4)]
    assert [run.wait() for run in runs] == [0, 0, 0, 0]
    assert len(list((fresh / "dagc").iterdir())) == 1


def test_the_grammar_has_no_collisions() -> None:
    """Lark's strict mode refuses terminals that match one text with one priority, and unused rules' conflicts."""
    text = parser_grammar._grammar_text()  # pyright: ignore[reportPrivateUsage]
    lark.Lark(text, parser="lalr", lexer="basic", strict=True, postlex=parser_grammar._KeepAll())  # pyright: ignore[reportPrivateUsage, reportArgumentType]
