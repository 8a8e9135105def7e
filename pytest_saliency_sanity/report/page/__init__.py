"""A run as one page of HTML that needs no network: an overview, and each verdict with maps, plots and what to do."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report.page import contents, palette
from pytest_saliency_sanity.text import encodable

if TYPE_CHECKING:
    from jinja2 import Environment

    from pytest_saliency_sanity.report.document import Report

NEEDS = ("jinja2", "matplotlib")
_HERE = Path(__file__).parent


def written(report: Report) -> str:
    """The text of the page.

    Raises:
        ImportError: where jinja2 or matplotlib is not installed; the sentence says how to install them.
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the page needs {' and '.join(missing)}: pip install pytest-saliency-sanity[report]"
        )
    script, style = (_HERE / "page.js").read_text("utf-8"), (_HERE / "page.css").read_text("utf-8")
    text = (
        _environment()
        .get_template("page.html")
        .render(
            page=contents.page_of(report),
            script=script,
            script_digest=_digest(script),
            style=f"{palette.css()}\n{contents.bars()}\n{style}",
        )
    )
    return encodable(text)


def _environment() -> Environment:
    """Of templates in which everything is escaped but what is marked as safe: our own script and style, and plots."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _digest(script: str) -> str:
    """By which the page's policy lets this one script run, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"
