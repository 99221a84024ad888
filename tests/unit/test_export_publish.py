"""The outputs of a command are published as a whole: a process may be killed at each call of the system.

The child process of a fork publishes, and ends without a word at its n-th call that changes anything on the disk; n
goes up until it comes through. What a reader finds then is held against the manifest by its digests.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dagc.export import publish as module
from dagc.export.publish import MANIFEST, publish

CALLS = ("mkdir", "rename", "link", "fsync", "unlink", "rmdir", "open")
OLD = {"a.svg": b"old a", "b.json": b"old b", "folder/c": b"old c"}
NEW = {"a.svg": b"new a", "folder/d": b"new d"}
OTHER = {"mermaid.mmd": b"of another command"}


def _read(directory: Path) -> dict[str, bytes]:
    """All files of a directory but the manifest, which must list each file of commands as it is."""
    files = {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
    manifest = json.loads(files.pop(MANIFEST))
    for listed in manifest["outputs"].values():
        for name, entry in listed.items():
            assert (entry["bytes"], entry["sha256"]) == (len(files[name]), sha256(files[name]).hexdigest())
    return files


def _prepared(parent: Path) -> Path:
    """A directory with outputs of two commands and a file of the user."""
    directory = parent / "main"
    assert publish(directory, "export", OTHER) == publish(directory, "compile", OLD) == ()
    (directory / "notes.txt").write_bytes(b"mine")
    return directory


def _forked(work: Callable[[], Any]) -> int:
    """The status of a child process that does some work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killed_at(number: int, directory: Path, *, can_swap: bool) -> bool:
    """Publish in a child that is killed before its n-th call; whether it came so far."""

    def work() -> None:
        left = iter(range(number))

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                if next(left, None) is None:
                    os._exit(9)
                return call(*arguments, **options)

            return called

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        module._swap = counted(module._swap) if can_swap else lambda *_: False  # pyright: ignore[reportPrivateUsage]
        publish(directory, "compile", NEW)

    return _forked(work) == 9


KEPT = {**OTHER, "notes.txt": b"mine"}


@pytest.mark.parametrize("can_swap", [True, False])
def test_a_killed_run_leaves_the_old_outputs_or_the_new(tmp_path: Path, can_swap: bool) -> None:
    """And the next run leaves the new ones and no litter. Without an exchange of directories, so does the next run."""
    number, seen = 0, set[str]()
    while True:
        parent = tmp_path / str(number)
        directory = _prepared(parent)
        is_killed = _killed_at(number, directory, can_swap=can_swap)
        if can_swap or directory.exists():
            found = _read(directory)
            assert found in ({**OLD, **KEPT}, {**NEW, **KEPT}), number
            seen.add("old" if "b.json" in found else "new")
        assert publish(directory, "compile", NEW) == ()
        assert _read(directory) == {**NEW, **KEPT}
        assert [path.name for path in parent.iterdir()] == ["main"]
        if not is_killed:
            break
        number += 1
    assert number > 20 and seen == {"old", "new"}


def _fails(number: int) -> Iterator[bytes]:
    yield b"half"
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "X103"), (errno.EIO, "X102")])
def test_a_refusal_leaves_what_was_there(tmp_path: Path, number: int, code: str) -> None:
    directory = _prepared(tmp_path)
    (problem,) = publish(directory, "compile", {"a.svg": b"new", "b.json": _fails(number)})
    assert problem.code.code == code
    assert _read(directory) == {**OLD, **KEPT}
    assert [path.name for path in tmp_path.iterdir()] == ["main"]


def test_a_file_where_the_directory_should_be_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "main").write_text("mine")
    (problem,) = publish(tmp_path / "main", "compile", NEW)
    assert problem.code.code == "X101" and (tmp_path / "main").read_text() == "mine"


def test_a_file_of_the_user_is_never_removed(tmp_path: Path) -> None:
    """Not where it stands in the way of a folder, nor where it is a link to a folder elsewhere."""
    directory = _prepared(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (directory / "link").symlink_to(tmp_path / "elsewhere")
    assert publish(directory, "compile", NEW) == () and (directory / "link").is_symlink()
    (directory / "taken").write_text("mine")
    (problem,) = publish(directory, "compile", {"taken/x": b"new"})
    assert problem.code.code == "X102" and (directory / "taken").read_text() == "mine"
    assert _read(directory).items() >= NEW.items()


def test_runs_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    directory = tmp_path / "main"
    sets = [{f"{name}{i}": bytes([i]) * 1000 for name in "abcdef"} for i in range(6)]
    children = []
    for one in sets:
        child = os.fork()
        if child == 0:
            publish(directory, "compile", one)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert _read(directory) in sets
    assert [path.name for path in tmp_path.iterdir()] == ["main"]
