"""The site is built without a warning, every link of it leads somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.harness.places import EXPLAIN, ROOT

LINK = re.compile(r'<(?P<tag>a|img|link|script|source|iframe)\b[^>]*?\s(?:href|src)="(?P<target>[^"]*)"')
TARGET = re.compile(r'\sid="([^"]+)"')
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, str]:
    # The page for what is not found is served from any place, so that its links begin at the root.
    return {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html") if page.name != "404.html"}


def test_every_code_has_a_page(site: Path) -> None:
    assert {page.stem for page in EXPLAIN.glob("*.md")} <= {page.stem for page in (site / "codes").glob("*.html")}


def test_every_link_leads_somewhere(pages: dict[Path, str]) -> None:
    names = {page: {unquote(name) for name in TARGET.findall(text)} for page, text in pages.items()}
    lost: list[str] = []
    for page, text in pages.items():
        for link in LINK.finditer(text):
            path, _, anchor = link["target"].partition("#")
            if "://" in path or path.startswith("mailto:"):
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            if not target.is_file() or (anchor and target in names and unquote(anchor) not in names[target]):
                lost.append(f"{page.name}: {link['target']}")
    assert sorted(set(lost)) == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, str], site: Path) -> None:
    loaded = {
        link["target"]
        for text in pages.values()
        for link in LINK.finditer(text)
        if link["tag"] != "a" and "://" in link["target"]
    }
    assert loaded == set()
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(.?https?:|@import", style.read_text(encoding="utf-8")), style.name


def test_pages_that_are_generated_have_their_content(site: Path) -> None:
    validation = (site / "validation.html").read_text(encoding="utf-8")
    assert validation.count('<figure class="plot">') == 2
    assert 'id="compile"' in (site / "commands.html").read_text(encoding="utf-8")
    # The lexer of plans: `strategy` is a keyword.
    assert '<span class="kd">strategy</span>' in (site / "examples.html").read_text(encoding="utf-8")
