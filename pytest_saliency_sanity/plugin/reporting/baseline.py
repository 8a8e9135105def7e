"""`--saliency-baseline FILE`: verdicts may become better, not worse; the file changes only where a flag says so."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pytest

from pytest_saliency_sanity import files
from pytest_saliency_sanity.plugin.reporting.presence import Presence
from pytest_saliency_sanity.report.baseline import CREATE, FIX, TRIM, Baseline, NotABaseline
from pytest_saliency_sanity.report.comparison import DRIFT, IMPROVEMENT, MISSING, NEW, OTHER_QUESTION, Change
from pytest_saliency_sanity.report.document import Report
from pytest_saliency_sanity.settings import Settings

FLAG, UPDATE = "--saliency-baseline", "--saliency-baseline-update"
FORCE = "force"
_WAYS = (CREATE, FIX, TRIM, FORCE)
_REFRESH = {
    NEW: (CREATE, "not in the baseline yet", "records"),
    IMPROVEMENT: (FIX, "better than the baseline", "records"),
    DRIFT: (FIX, "drifted", "records"),
    MISSING: (TRIM, "of the baseline not reached", "removes"),
}


def add(parser: pytest.Parser) -> None:
    """Register the flags."""
    group = parser.getgroup("saliency-sanity")
    group.addoption(
        FLAG,
        metavar="FILE",
        help="fail where a verdict is worse than in this committed file (default: none); an empty name lifts the "
        "project's",
    )
    group.addoption(
        UPDATE,
        metavar="HOW",
        help=f"change the file: some of {', '.join(_WAYS[:3])}, by commas (create: verdicts that it does not have; "
        f"fix: those that differ; trim: remove those that are gone); {FORCE} allows it in CI",
    )


class Gate:
    """The baseline of a run.

    Attributes:
        lines: what the terminal says, once the run is held against it.
        changes: against it.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._update = settings.references
        given = settings.baseline
        self._path = config.invocation_params.dir / given if given else None
        self._baseline = _read(self._path, self._update) if self._path else Baseline()
        self.lines: list[str] = []
        self.changes: tuple[Change, ...] = ()
        self._check(settings)

    def _check(self, settings: Settings) -> None:
        """Refuse a run that asks another question, before it begins."""
        other = self._baseline.other_settings({"seed": settings.seed, "profile": settings.amounts.name})
        if other and FIX not in self._update:
            raise pytest.UsageError(
                f"{FLAG} {self._path} was made with another question: {'; '.join(other)}. Pass the same, make it "
                f"anew ({UPDATE}={CREATE},{FIX},{TRIM}), or do without it in this run: {FLAG}="
            )

    def hold(self, report: Report, presence: Presence) -> bool:
        """Compare a run with the baseline, and update it where that is asked for; whether the run may be green."""
        if self._path is None:
            if self._update and all(entry.verdict.reason != "new_reference" for entry in report.entries):
                self.lines.append(
                    f"{UPDATE} changed nothing: there is no {FLAG}, and no check has a reference to update"
                )
            return True

        def is_due(nodeid: str) -> bool:
            return nodeid in presence.ran or presence.is_gone(nodeid)

        updated = self._baseline.updated(report, self._update, is_due)
        if self._update and (updated != self._baseline or not self._path.exists()):
            updated = updated if self._is_written(self._path, updated) else self._baseline
        self.changes = updated.changes(report, is_due)
        worse = [change for change in self.changes if change.is_worse]
        self.lines.append(_held(len(updated.records), self._path, len(worse)))
        self.lines += [str(change) for change in self.changes if change.kind in (DRIFT, IMPROVEMENT, MISSING)]
        self.lines += [*map(str, worse), *self._advice(self.changes)]
        return not worse

    def _advice(self, changes: Collection[Change]) -> list[str]:
        found = []
        for kind, (way, words, does) in _REFRESH.items():
            count = sum(change.kind == kind for change in changes)
            if count:
                found.append(
                    f"baseline: {count} {words}; {UPDATE}={way} {does} {'it' if count == 1 else 'them'}"
                )
        if any(change.kind == OTHER_QUESTION for change in changes):
            found.append(
                f"baseline: verdicts that were reached in another way cannot be compared; {UPDATE}={FIX} records them"
            )
        return found

    def _is_written(self, path: Path, updated: Baseline) -> bool:
        """Write the file; where that fails the run is held against what stood there."""
        try:
            files.write(path, updated.text())
        except OSError as error:
            self.lines.append(f"could not write {path}: {error.strerror or error}")
            return False
        self.lines.append(f"baseline: written, {len(updated.records)} verdicts: {path}")
        return True


def _held(records: int, path: Path, worse: int) -> str:
    found = f"the run fails for {worse} of them" if worse else "nothing is worse"
    return f"held against {records} verdicts of {path.name}: {found}"


def ways(config: pytest.Config) -> tuple[str, ...]:
    """What the update flag allows, in this process and, under xdist, in each worker.

    Raises:
        pytest.UsageError: for another word, and in CI without "force".
    """
    text = config.getoption(UPDATE)
    if text is None:
        return ()
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        if word not in _WAYS:
            raise pytest.UsageError(f"{UPDATE}: {word!r} is none of {', '.join(_WAYS)}")
    if os.environ.get("CI") and FORCE not in words:
        raise pytest.UsageError(
            f"{UPDATE} is refused where CI is set: a gate that updates its baseline lets everything pass. Add {FORCE} "
            f"if that is meant"
        )
    return words


def _read(path: Path, update: Collection[str]) -> Baseline:
    try:
        return Baseline.read(path)
    except FileNotFoundError:
        if CREATE in update:
            return Baseline()
        raise pytest.UsageError(f"{FLAG}: there is no {path}; {UPDATE}={CREATE} makes it") from None
    except (NotABaseline, OSError) as error:
        raise pytest.UsageError(f"{FLAG}: {error}") from None
