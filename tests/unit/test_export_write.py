"""A file is written whole or not at all, and a refusal is a diagnostic."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.export.write import NO_DIRECTORY, NO_SPACE, NO_WRITE, write_file
from dagc.files import PART


def test_the_bytes_are_written_and_the_way_to_them_is_made(tmp_path: Path) -> None:
    assert write_file(tmp_path / "a" / "b" / "x", b"one") == ()
    assert (tmp_path / "a/b/x").read_bytes() == b"one"


def test_a_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_file(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, NO_SPACE), (errno.EDQUOT, NO_SPACE), (errno.EIO, NO_WRITE), (None, NO_WRITE)]
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failure_leaves_what_was_there(
    call: str, number: int | None, code: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call of the system fails; None is a read-only file system."""
    (tmp_path / "x").write_bytes(b"old")
    wanted = number or errno.EROFS

    def refuse(*_: object, **__: object) -> None:
        raise OSError(wanted, os.strerror(wanted))

    monkeypatch.setattr(os, call, refuse)
    (problem,) = write_file(tmp_path / "x", b"new")
    monkeypatch.undo()
    assert problem.code is code
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x": b"old"}


def test_a_link_that_another_user_put_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"old")
    (tmp_path / PART).symlink_to(tmp_path / "theirs")
    assert write_file(tmp_path / "x", b"new") == ()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"theirs": b"old", "x": b"new"}


def test_a_link_is_followed_and_the_mode_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "x"
    target.write_bytes(b"old")
    target.chmod(0o604)
    (tmp_path / "link").symlink_to(target)
    assert write_file(tmp_path / "link", b"new") == ()
    assert (tmp_path / "link").is_symlink() and target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o604


def test_what_is_no_file_is_written_into(tmp_path: Path) -> None:
    """A pipe with a reader, as `/dev/stdout` may be; nothing takes its place."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert write_file(tmp_path / "pipe", b"new") == ()
    assert os.read(reader, 10) == b"new" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_formatted_plan_keeps_link_mode_and_line_ends(tmp_path: Path) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_bytes(b"strategy  main = tp  4\r\n")
    plan.chmod(0o600)
    (tmp_path / "link.moe").symlink_to(plan)
    assert CliRunner().invoke(main, ["fmt", str(tmp_path / "link.moe")]).exit_code == 0
    assert plan.read_bytes() == b"strategy main = tp 4\r\n"
    assert (tmp_path / "link.moe").is_symlink() and plan.stat().st_mode & 0o777 == 0o600


def test_a_file_where_a_directory_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (problem,) = write_file(tmp_path / "file" / "deeper" / "x", b"")
    assert problem.code is NO_DIRECTORY


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (problem,) = write_file(tmp_path / "x", b"new")
    assert problem.code is NO_WRITE
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
