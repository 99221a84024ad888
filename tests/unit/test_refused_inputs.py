"""Inputs and surroundings that once ended a command in a traceback: each gets a diagnostic, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest
from click.testing import CliRunner

import dagc
from dagc.cli.directories import plan_directory, strategy_directories
from dagc.cli.main import main
from dagc.driver.pricing import Judge
from dagc.driver.search import SearchOptions, search
from dagc.search.checkpoint import Checkpoint
from dagc.source import Source
from tests.harness.places import ROOT
from tests.harness.shell import RUN_DAGC
from tests.unit.search_plans import PLAN, STRATEGIES

CONFIG = "Qwen--Qwen3-30B-A3B.json"


def _codes(text: str, **blocks: str) -> list[str]:
    return [one.code.code for one in dagc.compile(text, **blocks).diagnostics if one.is_error]


def _run(shell: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A shell line in which `$DAGC` runs the command."""
    line = shell.replace("$DAGC", f'{sys.executable} -c "{RUN_DAGC}"')
    return subprocess.run(["sh", "-c", line], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("number", ["1_", "1__0", "12_", "1_000_"])
def test_an_underscore_of_a_number_is_between_digits(number: str) -> None:
    """In a degree, an option and a field alike."""
    assert _codes(f"tp {number}") and _codes(f"pp 2 [micro {number}]")
    assert _codes("tp 8", workload=f"batch {number}")
    assert not _codes("tp 8", workload="batch 1_0    prompt 1_024", cluster="h200-sxm x 8")


@pytest.mark.parametrize("model", ["deepseek-v4-flash", "minimax-m3", "deepseek-v3", "qwen3-30b-a3b", "gpt-oss-120b"])
@pytest.mark.parametrize("field", ["heads 32", "kv_heads 4", "head_dim 64", "kv_lora 256", "v_head 64", "window 128"])
def test_a_field_of_attention_is_replaced_or_refused(model: str, field: str) -> None:
    """Whatever kind of attention the preset has: a model of other figures, or N114."""
    plan = dagc.compile("tp 4", model=f"{model} {{ attention {{ {field} }} }}", cluster="b200-sxm x 4")
    assert plan.strategies or {one.code.family.value for one in plan.diagnostics if one.is_error} == {"N"}


@pytest.mark.parametrize(
    "device", ["memory 1e-300 B", "memory 1e17 PB", "bandwidth 1e-300 B/s", "compute { bf16 1e-300 FLOP/s }"]
)
def test_a_quantity_out_of_range_is_refused(device: str) -> None:
    assert _codes("tp 8", cluster=f"h100-sxm x 8 {{ device {{ {device} }} }}") == ["N114"]


@pytest.mark.parametrize("sign", [" ; ", " | "])
def test_a_size_of_thousands_of_digits_is_refused(sign: str) -> None:
    """Least common multiple and sum of sizes, and the product of a nesting: 254 × 17 digits."""
    assert _codes(sign.join(f"tp {10**17 - i}" for i in range(1, 255)))
    assert "D102" in _codes("dp 99999999999999999 < " * 3 + "tp 2" + " >" * 3)


def test_a_plan_without_a_strategy_that_compiles_has_nothing_to_compare(tmp_path: Path) -> None:
    (tmp_path / "plan.moe").write_text("strategy a = ep 16 < pp 2 >\n")
    done = _run("$DAGC compare plan.moe", tmp_path)
    assert done.returncode == 1 and "H101" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("$DAGC check - <&-", "standard input: it is closed"),
        ("$DAGC check -e 'tp 8' >&-", "standard output: it is closed"),
        pytest.param(
            "$DAGC devices > /dev/full",
            "no space left on device",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full"),
        ),
    ],
)
def test_a_stream_that_cannot_be_used_is_named(line: str, reason: str, tmp_path: Path) -> None:
    done = _run(line, tmp_path)
    assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr


def test_below_what_libraries_need_nothing_begins(tmp_path: Path) -> None:
    """200 MB of address space, with which they would end the process in the middle of their start."""
    done = _run("ulimit -v 200000; $DAGC compile -e 'tp 8'", tmp_path)
    assert done.returncode == 2 and "error[X602]" in done.stderr and "400 MB" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pictures_are_the_same_in_little_address_space(tmp_path: Path) -> None:
    """500 MB: a tenth of what the layout engine reserves where it can."""
    line = "$DAGC compile -e 'tp 2' --model 'mixtral-8x7b { layers 2 }' --cluster 'h100-sxm x 2'"
    done = _run(f"{line} -o free && ulimit -v 500000 && {line} -o limited && diff -r free limited", tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_deleted_working_directory_keeps_no_plan_from_being_checked(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = "rmdir ../gone; $DAGC check -e 'tp 8' --cluster 'h200-sxm x 8'; echo $?; $DAGC compile -e 'tp 8' -o out"
    done = _run(line, gone)
    assert "main: `tp 8`: 8 GPUs\n0\n" in done.stdout
    assert done.returncode == 2 and "X101" in done.stderr and "Traceback" not in done.stderr


def test_a_strategy_that_a_plan_lacks_is_named_with_the_diagnostics() -> None:
    plan = dagc.compile("strategy a = ep 16 < pp 2 >\nstrategy b = tp 8\n")
    with pytest.raises(KeyError, match=r"(?s)no strategy `a`.*H101"):
        plan["a"]


def _resumed(path: Path) -> tuple[list[str], bool]:
    found = search(
        Source("plan", PLAN + STRATEGIES), (), Path(), SearchOptions(resume=path, over=frozenset()), lambda *_: None
    )
    return [one.code.code for one in found.diagnostics], found.result is not None and found.result.is_complete


def test_a_record_that_cannot_be_kept_is_refused_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _resumed(tmp_path) == (["X506"], False)
    assert _resumed(tmp_path / "file" / "record") == (["X506"], False)


def test_a_search_outlives_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills after the head of the record: the result is complete, and says that the record is not."""
    path = tmp_path / "record"
    add, calls = Checkpoint.add, iter(range(1000))

    def fills(record: Checkpoint, found: list[object]) -> None:
        if next(calls) == 0:
            record.path = Path("/dev/full")
        add(record, found)  # type: ignore[arg-type]

    monkeypatch.setattr(Checkpoint, "add", fills)
    assert _resumed(path) == (["X507"], True)
    assert json.loads(path.read_text().splitlines()[0])["dagc_search"] == 1


def test_a_search_whose_processes_always_die_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever piece of work it is, it kills the process that does it."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for work in ("verdicts", "services", "parts"):
        # Work goes to a process by its name.
        named = FunctionType(die.__code__, die.__globals__, work)
        monkeypatch.setattr(Judge, work, named)
    found = search(
        Source("plan", PLAN + STRATEGIES), (), Path(), SearchOptions(workers=2, over=frozenset()), lambda *_: None
    )
    assert [one.code.code for one in found.diagnostics] == ["X508"] and found.result is None


def test_each_strategy_has_a_directory_of_its_own(tmp_path: Path) -> None:
    """Names that a file system takes for one, and one that is the directory of the search."""
    names = ["a/b", "a_b", "Main", "main", "search", "...", "n" * 200, "n" * 201]
    found = strategy_directories(names)
    assert len({one.casefold() for one in found.values()}) == len(names)
    assert (found["a_b"], found["Main"]) == ("a_b", "Main") and "search" not in found.values()
    assert plan_directory("a b") != plan_directory("a_b") == "a_b"
    assert all("/" not in one and not one.startswith(".") and len(one) < 64 for one in found.values())


@pytest.mark.parametrize("mark", ["\u202e", "\x1b[31m", "\u2066"])
def test_a_name_that_a_terminal_would_obey_is_escaped(mark: str, tmp_path: Path) -> None:
    """In an argument, a path that is written to, and the name of a file."""
    config = tmp_path / f"a{mark}b.json"
    config.write_text((ROOT / "tests" / "data" / "configs" / CONFIG).read_text())
    small = ["-e", "tp 2", "--model", "mixtral-8x7b { layers 2 }", "--cluster", "h100-sxm x 2"]
    for arguments in (
        ["explain", f"D{mark}1"],
        ["compile", *small, "-o", f"{tmp_path}/o{mark}"],
        ["export", *small, "--format", "mermaid", "-o", f"{tmp_path}/o{mark}"],
        ["models", str(config)],
    ):
        found = CliRunner().invoke(main, arguments)
        assert mark not in found.output and found.output, arguments


def _file(kind: str, directory: Path) -> Path:
    """A device by its path; else something that is no file of a text that a command reads."""
    path = Path(kind) if kind.startswith("/") else directory / "named.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as stream:
            stream.truncate(65 << 20)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif kind == "nested":
        path.write_text('{"problem": ' + "[" * 100_000 + "\n")
    return path


KINDS = ["/dev/zero", "/dev/null", "pipe", "folder", "huge"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_a_plan_names_is_a_file_of_some_size(kind: str, tmp_path: Path) -> None:
    """A device without an end, a pipe that nobody writes into, a folder, a file of 65 MB: refused at once."""
    path = _file(kind, tmp_path)
    assert _codes("tp 8", model=f'"{path}"') == ["N128"]
    assert _codes("tp 8", cluster=f'h100-sxm x 8 {{ device {{ calibration "{path}" }} }}') == ["N160"]


def test_a_cell_of_a_table_may_be_long(tmp_path: Path) -> None:
    """A cell past the 128 KiB of Python's reader is a cell that is wrong, not a traceback."""
    long = "x" * 200_000
    (tmp_path / "cases.csv").write_text(f"kind,id,model,cluster,workload,strategy,metric,measured\n{long}\n")
    (tmp_path / "table.csv").write_text(f"operator,bytes,seconds\n{long}\n")
    for line in (["validate", "--cases", "cases.csv"], ["fit", "--device", "h100-sxm", "table.csv"]):
        done = CliRunner().invoke(main, [*line[:-1], str(tmp_path / line[-1])])
        assert done.exit_code == 2 and "error[X40" in done.stderr


@pytest.mark.parametrize("kind", [*KINDS, "socket", "absent"])
def test_a_file_that_a_command_reads_is_a_file_of_some_size(kind: str, tmp_path: Path) -> None:
    """One diagnostic, status 2, no wait and nothing written, from every command with such an argument."""
    path, code = _file(kind, tmp_path), {"folder": "X002", "huge": "X004"}.get(kind, "X001")
    before, name = sorted(tmp_path.iterdir()), str(path)
    good = str(ROOT / "examples" / "02-mixtral-8-gpus.moe")
    out = ["-o", str(tmp_path / "out")]
    of_plans = [
        ["check", name], ["check", "--fix", name], ["compile", name, *out], ["fmt", name], ["memory", name],
        ["launch", name, "--engine", "vllm"], ["whatif", name], ["search", name, *out], ["compare", good, name],
        ["export", name, "--format", "chakra", *out], ["fit", name, "--device", "h100-sxm", *out],
        ["validate", "--cases", name],
    ]  # fmt: skip
    for arguments in (*of_plans, ["models", name]):
        found = CliRunner().invoke(main, arguments)
        wanted = "N128" if arguments[0] == "models" else code
        assert found.exit_code == 2 and found.output.count("error[") == 1, (arguments, found.output)
        assert f"error[{wanted}]" in found.output and "  = help: " in found.output, (arguments, found.output)
    with pytest.raises(OSError):
        dagc.compile(path)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("kind", "code"), [
    ("/dev/zero", "X506"), ("/dev/null", "X506"), ("pipe", "X506"), ("folder", "X506"), ("nested", "X501"),
])  # fmt: skip
def test_a_record_is_a_file(kind: str, code: str, tmp_path: Path) -> None:
    assert _resumed(_file(kind, tmp_path)) == ([code], False)


def test_a_pipe_of_the_shell_is_read(tmp_path: Path) -> None:
    """`<(command)` of bash, and standard input by its name."""
    text = "echo 'model llama-3.1-8b strategy a = tp 8'"
    line = f"$DAGC check <({text}) && {text} | $DAGC check /dev/stdin"
    line = line.replace("$DAGC", f'{sys.executable} -c "{RUN_DAGC}"')
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
