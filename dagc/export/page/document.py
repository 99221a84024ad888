"""The frame of a page: head, policy, style and script."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from markupsafe import Markup

from dagc.export.page.markup import tag

_HERE = Path(__file__).parent


def document(title: str, body: Markup, style: str, script: str, may_also: str = "") -> bytes:
    """A whole HTML document, in UTF-8, that may load nothing and run only this script, or none where it is empty.

    `may_also` are further directives of its policy, each ended by `; `.
    """
    own = "style-src 'unsafe-inline'" + (f"; script-src '{_digest(script)}'" if script else "")
    policy = f"default-src 'none'; {may_also}{own}; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(policy)),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    if script:
        body = body.removesuffix("</body>") + tag("script", Markup(script)) + Markup("</body>")
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n".encode()


def asset(name: str) -> str:
    """The text of a style or script that lies beside this module."""
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """How a policy names a script that may run."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
