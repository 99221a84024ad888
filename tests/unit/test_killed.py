"""Commands that are killed: whoever reads finds the outputs of the run before or all new ones, and the next run tidies.

A command is killed before each of its calls that change the file system, and at 50 moments of the time that it takes.
The plan, or the table, is another one each time, so that old and new are told apart.
"""

from __future__ import annotations

import json
import random
import signal
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dagc.export.publish import MANIFEST
from tests.harness.children import Children, Ended, shared_children
from tests.unit.test_fit import stream_table

PLANS = tuple(
    f"model mixtral-8x7b {{ layers {layers} }}\ncluster h100-sxm x 1\nstrategy main = tp 1\n" for layers in (1, 2)
)
INPUTS = {"plan.moe": PLANS, "table.csv": (stream_table(4e-6, 0.7), stream_table(3e-6, 0.8))}
LINES = {
    "compile": "compile plan.moe -o out --view deployment",
    "search": "search plan.moe -o out --workers 1 --over none",
    "fit": "fit table.csv --device h100-sxm -o out/calibration.json",
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("compile", "search")]


@dataclass
class Scene:
    """A directory with inputs, and the two states that its outputs may be in."""

    children: Children
    directory: Path
    line: str
    states: tuple[dict[str, bytes], ...] = ()
    shown: int = 0

    def run(self, which: int, **asked: Any) -> Ended:
        """The command on one of two inputs."""
        for name, texts in INPUTS.items():
            (self.directory / name).write_text(texts[which], "utf-8")
        return self.children.run(self.line, self.directory, **asked)

    def prepare(self) -> float:
        """Run both; the seconds of the second."""
        found: list[dict[str, bytes]] = []
        for which in (0, 1):
            ended = self.run(which)
            assert ended.status == 0, ended.errors
            found.append(self.all_files())
        assert found[0] != found[1]
        self.states, self.shown = tuple(found), 1
        return ended.seconds

    def all_files(self) -> dict[str, bytes]:
        """Everything below the output directory, hidden files and empty directories among it."""
        place = self.directory / "out"
        return {
            path.relative_to(place).as_posix(): path.read_bytes() if path.is_file() else b""
            for path in place.rglob("*")
        }

    def check(self) -> None:
        """What a reader finds is one of the two states, and the manifest is true of it."""
        files = {name: content for name, content in self.all_files().items() if "/." not in f"/{name}"}
        assert files in self.states
        self.shown = self.states.index(files)
        for name, content in files.items():
            if name.endswith(MANIFEST):
                listed = json.loads(content)["outputs"].values()
                for file, entry in (one for command in listed for one in command.items()):
                    assert sha256(files[name.replace(MANIFEST, file)]).hexdigest() == entry["sha256"]

    def tidy(self) -> None:
        """A run that ends leaves its outputs and nothing beside them."""
        assert self.run(1 - self.shown).status == 0
        assert self.all_files() == self.states[1 - self.shown]
        self.shown = 1 - self.shown


@pytest.fixture(scope="module")
def children() -> Children:
    return shared_children()


@pytest.fixture
def scene(children: Children, tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    return Scene(children, tmp_path, LINES[request.param])


@pytest.mark.parametrize("scene", ["fit", *SLOW], indirect=True)
def test_killed_before_each_change_of_the_file_system(scene: Scene) -> None:
    """A run that ends tidies up after each of the first and every third of the others: it costs most of the time."""
    scene.prepare()
    number, seen = 0, set[bool]()
    while True:
        before = scene.shown
        ended = scene.run(1 - before, stop=(number, None))
        scene.check()
        seen.add(scene.shown == before)
        if ended.status != -signal.SIGKILL:
            break
        if number % 3 == 0 or number < 9:
            scene.tidy()
        number += 1
    assert ended.status == 0 and number > 5 and seen == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("scene", LINES, indirect=True)
def test_killed_at_random_moments(scene: Scene) -> None:
    took, draw = scene.prepare(), random.Random(0)
    killed = 0
    for _ in range(50):
        ended = scene.run(1 - scene.shown, kill=(draw.uniform(0, took), signal.SIGKILL))
        killed += ended.status == -signal.SIGKILL
        scene.check()
    assert killed
    scene.tidy()


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["compile", "fit"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_at_random_moments(scene: Scene, number: int) -> None:
    """A signal that can be answered: one diagnostic, and the status of the signal."""
    took, draw, told = scene.prepare(), random.Random(0), 0
    for _ in range(20):
        ended = scene.run(1 - scene.shown, kill=(draw.uniform(0, took), number))
        scene.check()
        assert ended.status in (0, 128 + number, -number) and "Traceback" not in ended.errors, ended
        assert ended.errors.count("error[X604]") == (ended.status == 128 + number)
        told += ended.status == 128 + number
    assert told
    scene.tidy()


@pytest.mark.parametrize("scene", ["fit", *SLOW], indirect=True)
def test_a_disk_that_fills_at_each_change_loses_nothing(scene: Scene) -> None:
    """From a change on, all are refused: as long as the outputs are the old ones, the diagnostic says why."""
    scene.prepare()
    for number in range(0, 30, 3):
        before = scene.shown
        ended = scene.run(1 - before, stop=(number, 28))
        scene.check()
        assert "Traceback" not in ended.errors
        if scene.shown == before:
            assert ended.status == 2 and "error[X10" in ended.errors, (number, ended)
        if ended.status == 0:
            break
    scene.tidy()
