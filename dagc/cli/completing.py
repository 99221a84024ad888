"""What a shell completes: names of the catalogue, engines, codes, terms and files. Each import waits for its use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files."""
    return [CompletionItem(incomplete, type="file")]


def models(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Models of the catalogue; files where a path begins."""
    from dagc.catalog.presets import model_names

    if incomplete.startswith((".", "/", "~")):
        return [CompletionItem(incomplete, type="file")]
    return _starting(incomplete, model_names())


def devices(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Devices of the catalogue."""
    from dagc.catalog.presets import device_names

    return _starting(incomplete, device_names())


def engines(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Serving engines."""
    from dagc.engines.registry import engine_names

    return _starting(incomplete, engine_names())


def kinds(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of measured cases."""
    from dagc.catalog.cases import kinds

    return _starting(incomplete, kinds())


def codes(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes of diagnostics, in any case."""
    from dagc.diag.explain import codes

    return _starting(incomplete.upper(), codes())


def topics(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes of diagnostics and terms of the glossary, in any case."""
    from dagc.diag.explain import codes
    from dagc.diag.glossary import names

    found = (name for name in (*codes(), *names()) if name.lower().startswith(incomplete.lower()))
    return [CompletionItem(name) for name in found]


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
