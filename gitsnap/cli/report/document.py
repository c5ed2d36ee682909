"""The frame of every page of ours: head, style and script, and a policy that lets nothing else act or load."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from gitsnap import __version__
from gitsnap.cli.report import html
from gitsnap.cli.report.html import Html, tag

# How every page of ours begins; the command line tells by it what it may replace.
BEGINNING = b"<!doctype html>\n<!-- gitsnap report -->\n"


def document(title: str, body: Html, *, acts: bool = False) -> bytes:
    """The page around its body; with our script where it `acts`."""
    style = _own_text("style.css")
    script = _own_text("script.js") if acts else None
    scripts = f"script-src '{_digest(script)}'; " if script is not None else ""
    policy = f"default-src 'none'; style-src '{_digest(style)}'; {scripts}base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"gitsnap {__version__}"),
        tag("title", title),
        html.style(style),
    )
    page = tag("html", head, body, html.script(script) if script is not None else None, lang="en")
    return BEGINNING + page.text.encode()


def _own_text(name: str) -> str:
    return resources.files("gitsnap.cli.report").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
