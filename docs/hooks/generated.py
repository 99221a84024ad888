"""Pages that are made when the site is built: the help of every command, and the examples."""

from __future__ import annotations

from pathlib import Path

import click

from dagc.cli.main import GROUPS, main

_WIDTH = 100
_COMMANDS = """\
# Commands

The help of every command, as `dagc COMMAND --help` prints it. Exit status: 0 on success, 1 if an error was found in
a plan, a requirement or a claim, 2 on bad usage and on files that cannot be read or written.
"""
_EXAMPLES = """\
# Examples

The plans of `examples/` in the repository; the tests compile each of them. 11 to 25 are those of
[five published reports](verdicts.md).
"""


def commands() -> str:
    """The page of all commands, by the question that they answer, as `dagc --help` groups them."""
    settings = {**main.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(main, info_name="dagc", **settings)
    parts = [_COMMANDS]
    for question, names in GROUPS.items():
        parts.append(f"\n## {question}\n")
        for name in names:
            command = main.get_command(context, name)
            assert command is not None
            inner = click.Context(command, info_name=name, parent=context, **settings)
            parts.append(f"\n### dagc {name} {{ #{name} }}\n\n{_block('text', command.get_help(inner))}")
    return "".join(parts)


def examples(folder: Path) -> str:
    """The page of all plans of a folder."""
    plans = [(path.name, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.moe"))]
    return _EXAMPLES + "".join(
        f"\n## {name.removesuffix('.moe')}\n\n{_block(f'moe {name}', text)}" for name, text in plans
    )


def _block(info: str, text: str) -> str:
    return f"```{info}\n{text.rstrip()}\n```\n"
