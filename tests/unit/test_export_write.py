"""Files are written whole or not at all, and a refusal is a diagnostic."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagc.export.write import NO_DIRECTORY, NO_SPACE, NO_WRITE, write_atomically


def failing(number: int) -> Iterator[bytes]:
    yield b"half"
    raise OSError(number, "refused")


def test_bytes_and_pieces_are_written(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "a" / "b", {"x": b"one", "y": iter([b"t", b"wo"])}) == ()
    assert (tmp_path / "a/b/x").read_bytes() == b"one"
    assert (tmp_path / "a/b/y").read_bytes() == b"two"


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_atomically(tmp_path, {"x": b""})
    assert (tmp_path / "x").stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, NO_SPACE), (errno.EDQUOT, NO_SPACE), (errno.EIO, NO_WRITE)]
)
def test_a_failure_leaves_what_was_there(tmp_path: Path, number: int, code: object) -> None:
    write_atomically(tmp_path, {"x": b"old", "y": b"old"})
    (problem,) = write_atomically(tmp_path, {"x": b"new", "y": failing(number)})
    assert problem.code is code
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x": b"old", "y": b"old"}


def test_a_file_where_a_directory_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (problem,) = write_atomically(tmp_path / "file" / "deeper", {"x": b""})
    assert problem.code is NO_DIRECTORY


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (problem,) = write_atomically(tmp_path, {"x": b"new"})
    assert problem.code is NO_WRITE
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
