"""Files that a run leaves behind, where flags ask for them: JSON, CTRF, Markdown, a page.

A file that cannot be written changes nothing about the tests; a line says which it is.
"""

from __future__ import annotations

import datetime
import importlib
import importlib.util
import shlex
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_saliency_sanity import files
from pytest_saliency_sanity.plugin.recording import pictures
from pytest_saliency_sanity.plugin.reporting.verdicts import Verdicts
from pytest_saliency_sanity.report.document import Report, sorted_report
from pytest_saliency_sanity.report.environment import environment

if TYPE_CHECKING:
    from pytest_saliency_sanity.settings import Settings

QUIET = "--saliency-quiet"


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        flag: that asks for it.
        help: of the flag.
        module: of `report`, whose function `written(report)` gives the file's text.
        needs: packages without which it cannot be made.
        pictures: whether it shows the maps.
    """

    flag: str
    help: str
    module: str
    needs: tuple[str, ...] = ()
    pictures: bool = False

    def text(self, report: Report) -> str:
        """The file's content."""
        module = importlib.import_module(f"pytest_saliency_sanity.report.{self.module}")
        return str(module.written(report))


FORMATS = (
    Format(
        "--saliency-json", "all verdicts with their evidence, versions and fingerprints, as JSON", "document"
    ),
    Format(
        "--saliency-ctrf", "all verdicts in the Common Test Report Format, which CI dashboards read", "ctrf"
    ),
    Format(
        "--saliency-markdown",
        "the verdicts as Markdown below 64 KB, for a comment on a pull request",
        "markdown",
    ),
    Format(
        "--saliency-html",
        "the verdicts with their maps and plots as one page of HTML, which needs no network",
        "page",
        needs=("jinja2", "matplotlib"),
        pictures=True,
    ),
)


def add(parser: pytest.Parser) -> None:
    """Register the flags."""
    group = parser.getgroup("saliency-sanity")
    for one in FORMATS:
        group.addoption(one.flag, metavar="FILE", help=f"write {one.help}")
    group.addoption(QUIET, action="store_true", help="no line at the start, no table of verdicts at the end")


def configure(config: pytest.Config) -> None:
    """Ask for pictures where a file that is asked for shows them, in each process.

    Raises:
        pytest.UsageError: where a file is asked for that needs a package which is not installed.
    """
    for one in FORMATS:
        if config.getoption(one.flag) is not None:
            _check(one)
            config.stash[pictures.WANTED] = config.stash.get(pictures.WANTED, False) or one.pictures


def _check(one: Format) -> None:
    missing = [name for name in one.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(
            f"{one.flag} needs {' and '.join(missing)}: pip install pytest-saliency-sanity[report]"
        )


class Reports:
    """The files that are asked for.

    Attributes:
        lines: what the terminal says of them, once they are written.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config, self._settings = config, settings
        self._asked = [(one, Path(path)) for one in FORMATS if (path := config.getoption(one.flag))]
        self._began, self._clock = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
        self.lines: list[str] = []

    def write(self, report: Report) -> None:
        """Write what is asked for."""
        for kind, path in self._asked:
            self._write(self._config.invocation_params.dir / path, kind, report)

    def report(self, verdicts: Verdicts) -> Report:
        """All that is known of the run."""
        return sorted_report(
            verdicts,
            settings=_stated(self._settings),
            environment=environment(),
            lost=(*map(str, verdicts.lost), *self._crashed(verdicts)),
            command=shlex.join(["pytest", *map(str, self._config.invocation_params.args)]),
            began=self._began.isoformat(timespec="seconds"),
            seconds=time.monotonic() - self._clock,
        )

    def _crashed(self, verdicts: Verdicts) -> Iterable[str]:
        """Crashes of tests are no news where nothing was audited, and no report is asked for."""
        return verdicts.crashed.values() if self._asked or any(True for _ in verdicts) else ()

    def _write(self, path: Path, kind: Format, report: Report) -> None:
        try:
            files.write(path, kind.text(report))
        except Exception as error:  # of any kind: a report never changes the tests' outcome
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            self.lines.append(f"could not write {path}: {reason}")
        else:
            self.lines.append(f"written: {path}")


def _stated(settings: Settings) -> dict[str, Any]:
    amounts, names = settings.amounts, ("inconclusive", "max_seconds")
    of_profile = {name: getattr(amounts, name) for name in names}
    return {
        "seed": settings.seed,
        "profile": amounts.name,
        **of_profile,
        "min_verdicts": settings.min_verdicts,
    }
