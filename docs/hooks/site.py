"""Hook of MkDocs: pages whose text is elsewhere in the repository, and links of files as links of the site.

Pages link to each other as files of the repository do, `../grammar/README.md`, so that they can be read there too.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import relpath

import generated
import plots
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXPLAIN = ROOT / "dagc" / "diag" / "explain"
README = ROOT / "README.md"
VALIDATION = ROOT / "dagc" / "results" / "validation.md"

PAGES: dict[str, Path] = {
    "language.md": ROOT / "grammar" / "README.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "validation.md": VALIDATION,
    "codes.md": ROOT / "dagc" / "diag" / "codes.md",
    **{f"codes/{path.name}": path for path in sorted(EXPLAIN.glob("*.md"))},
}
"""Pages of the site that are a file outside of docs/."""

STATIC: dict[str, Path] = {
    **{f"showcase/{path.name}": path for path in sorted((ROOT / "out" / "showcase").glob("*/*.svg"))},
    **{f"examples/{path.name}": path for path in sorted((ROOT / "examples").glob("*.moe"))},
}
"""Files outside of docs/ that pages show or link to."""

_LINK = re.compile(r"(?<=]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_SECTION = re.compile(r"^<!-- README: (?P<title>.+) -->$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<language>[\w-]+) (?P<label>[\w./-]+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/ and those that are generated."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
    texts["commands.md"] = generated.commands()
    texts["examples.md"] = generated.examples(ROOT / "examples")
    texts["validation.md"] = plots.with_plots(texts["validation.md"])
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    for name, path in STATIC.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page with links of the site, and with the labels of fences as titles."""
    here = page.file.src_uri
    source = PAGES.get(here, DOCS / here)
    whole = _SECTION.sub(lambda found: _section(found["title"]), markdown)
    text = _FENCE.sub(_titled, _LINK.sub(lambda found: _link(found, source, here), whole))
    text = text.replace("~~~figures\n", '~~~text title="Figures in summary.json"\n')
    lines = [_unescaped(line) if line.startswith("|") else line for line in text.split("\n")]
    return "\n".join(lines) + ("\n\n[All codes](../codes.md)\n" if here.startswith("codes/") else "")


def _section(title: str) -> str:
    """A section of the README, with its title. Raises ValueError where there is none."""
    _, heading, after = README.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    if not heading:
        raise ValueError(f"README.md has no section `{title}`")
    return f"## {title}\n{after.partition(chr(10) + '## ')[0]}"


def _link(found: re.Match[str], source: Path, here: str) -> str:
    target = (source.parent / found["path"]).resolve()
    name = _NAMES.get(target)
    if name is None and target.is_relative_to(DOCS):
        name = target.relative_to(DOCS).as_posix()
    if name is None:
        return found[0]
    return relpath(name, PurePosixPath(here).parent.as_posix()) + (found["anchor"] or "")


def _unescaped(row: str) -> str:
    """A row of a table: in code Python-Markdown takes a bar as it is, where GitHub wants it escaped."""
    return _CODE.sub(lambda found: found[0].replace("\\|", "|"), row)


def _titled(found: re.Match[str]) -> str:
    """A label such as `slow` is for tests; one with a dot is the name of the file that the block is."""
    opening = f"{found['fence']}{found['language']}"
    return f'{opening} title="{found["label"]}"' if "." in found["label"] else opening


_NAMES = {path.resolve(): name for name, path in (PAGES | STATIC).items()}
