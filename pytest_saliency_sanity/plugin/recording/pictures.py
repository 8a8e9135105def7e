"""The pictures of a run's verdicts: who asks for them, the files of --saliency-artifacts, and pytest-html's extras."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_saliency_sanity import files
from pytest_saliency_sanity.settings import Settings
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.text import encodable

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict

# A report that shows pictures sets this in `pytest_configure`, in each process; they then travel on the tests' reports.
WANTED = pytest.StashKey[bool]()
TITLE = "saliency pictures"
_LONGEST = 90  # letters of a node id in a file's name


def asked(config: pytest.Config, base: Settings) -> Settings:
    """The settings of the run's tests, whose verdicts have pictures if anything shows them."""
    shows = base.artifacts is not None or config.stash.get(WANTED, False) or _html(config)
    return replace(base, pictures=base.pictures or shows)


def on_report(config: pytest.Config, verdict: Verdict) -> dict[str, Any]:
    """The pictures as builtin types under "pictures", where a report wants them; nothing elsewhere."""
    if not config.stash.get(WANTED, False) or not verdict.pictures:
        return {}
    return {"pictures": [one.to_json() for one in verdict.pictures]}


def drawn(config: pytest.Config, artifacts: Path | None, verdict: Verdict) -> bytes:
    """The strip of a verdict that is not a pass, as a file; b"" where it has no pictures, or nothing shows them."""
    shows = artifacts is not None or _html(config)
    if not shows or not verdict.pictures or verdict.outcome == "pass":
        return b""
    from pytest_saliency_sanity.report import strip

    return strip.png(verdict)


def written(directory: Path, nodeid: str, verdict: Verdict, number: int, png: bytes) -> str:
    """Write a strip; the path as messages show it."""
    path = directory / file_name(nodeid, (verdict.check, verdict.explainer, verdict.model), number)
    files.write(path, png)
    return shown(path)


def shown(path: Path) -> str:
    """Relative to where pytest was started, if it lies below."""
    here = Path.cwd()
    return encodable(str(path.relative_to(here) if path.is_relative_to(here) else path))


def file_name(nodeid: str, key: tuple[str, str, str], number: int) -> str:
    """Of a verdict's strip: its test and check, in letters of every file system, and a digest of all that it is of."""
    of_all = "\0".join((nodeid, *key, str(number))).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(of_all, digest_size=6).hexdigest()
    return f"{_plain(nodeid)[-_LONGEST:].strip('-') or 'test'}-{_plain(key[0])[:30]}-{digest}.png"


def could_not(directory: Path | None, nodeid: str, error: Exception) -> str:
    """The sentence of a strip that could not be drawn, or written."""
    where = "" if directory is None else f" in {shown(directory)}"
    return encodable(f"no picture of {nodeid}{where}: {type(error).__name__}: {error}")


def noted(error: Exception) -> Exception:
    """The error, unless it comes from outside (a timeout's alarm), and has to go on."""
    if is_interruption(error):
        raise error
    return error


def show(report: pytest.TestReport, paths: list[str]) -> None:
    """Say in a failed test's message where its pictures are."""
    if not paths or not report.failed:
        return
    text = "\n".join(f"picture: {path}" for path in paths)
    add = getattr(report.longrepr, "addsection", None)
    if add is None:
        report.sections.append((TITLE, text))
    else:
        add(TITLE, text)


def show_in_html(config: pytest.Config, report: pytest.TestReport, strips: list[bytes]) -> None:
    """Add the strips to the extras of pytest-html 4 and later, as builtin types, which xdist can send."""
    if not strips or not _html(config):
        return
    extras = [
        {
            "name": "saliency",
            "format_type": "image",
            "content": base64.b64encode(png).decode("ascii"),
            "mime_type": "image/png",
            "extension": "png",
        }
        for png in strips
    ]
    report.extras = [*getattr(report, "extras", []), *extras]  # type: ignore[attr-defined]  # pyright: ignore


def _html(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("html") and bool(config.getoption("htmlpath", None))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower())
