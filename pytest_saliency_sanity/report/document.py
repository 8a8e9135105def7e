"""All verdicts of a run as one value, and its JSON: what is stored, shown again, compared and held against a baseline.

`schema.json` beside this file describes the JSON; its `version` grows when a reader of the old one would be wrong.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_saliency_sanity.builtin import as_builtin
from pytest_saliency_sanity.report.comparison import Change, Key, Recorded
from pytest_saliency_sanity.report.pictures import Picture
from pytest_saliency_sanity.report.words import ORDER
from pytest_saliency_sanity.verdict import Verdict

FORMAT = "pytest-saliency-sanity report"
VERSION = 1
SCHEMA = Path(__file__).with_name("schema.json")


class NotAReport(ValueError):
    """A file is not a report of ours. The message names it and says what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One verdict of one test.

    Attributes:
        nodeid: the test.
        verdict: what it found.
        number: the running number among the test's verdicts of equal check, explainer and model.
        counted: as what it counts, a key of `words.LABELS`: its outcome, "xfail" where a failure was expected,
            "refused" where the method does not exist for the model, "observed" where it decided nothing.
        pictures: thumbnails of the maps, for a page; they are not in the JSON.
    """

    nodeid: str
    verdict: Verdict
    number: int
    counted: str
    pictures: tuple[Picture, ...] = field(default=(), compare=False, repr=False)

    @property
    def key(self) -> Key:
        """(test, check, explainer, model, running number): what a verdict is found again by."""
        return self.nodeid, self.verdict.check, self.verdict.explainer, self.verdict.model, self.number

    @property
    def seconds(self) -> float | None:
        """What the check took, with its controls; None where it does not say so."""
        costs = (self.verdict.evidence.get(name) for name in ("cost", "control_cost"))
        found = [
            cost["total_seconds"] for cost in costs if isinstance(cost, Mapping) and "total_seconds" in cost
        ]
        return sum(found) if found else None

    @property
    def recorded(self) -> Recorded:
        """What is kept of it to hold another run's against it."""
        verdict, interval = self.verdict, self.verdict.interval
        lower, upper = (
            [end if abs(end) < math.inf else None for end in interval] if interval else (None, None)
        )
        return Recorded(
            *self.key,
            outcome=verdict.outcome,
            reason=verdict.reason,
            counted=self.counted,
            statistic=as_builtin(verdict.statistic),
            lower=lower,
            upper=upper,
            more_is_better=verdict.deciding is not None and verdict.deciding.more_is_better,
            seed=verdict.seed,
            provenance=verdict.provenance,
        )

    def to_json(self) -> dict[str, Any]:
        """The entry as builtin types."""
        stated = {"nodeid": self.nodeid, "number": self.number, "counted": self.counted}
        return {**as_builtin(stated), "seconds": as_builtin(self.seconds), "verdict": self.verdict.to_json()}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Entry:
        """The entry that `to_json` was made of."""
        return cls(given["nodeid"], Verdict.from_json(given["verdict"]), given["number"], given["counted"])


@dataclass(frozen=True)
class Report:
    """A run's verdicts, sorted by their keys.

    Attributes:
        entries: one for each verdict.
        settings: seed, profile and what else was set.
        environment: versions and platform, see `environment.environment`.
        lost: sentences about verdicts that did not arrive from a worker.
        changes: against the baseline, where there is one.
        command: what was typed.
        began, seconds: when the run began (ISO 8601) and how long it took.
    """

    entries: tuple[Entry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    command: str = ""
    began: str = ""
    seconds: float = 0.0

    @property
    def counts(self) -> Counter[str]:
        """How many verdicts count as what."""
        return Counter(entry.counted for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """The report as builtin types: the same in one process and in several, but for "run"."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "settings": as_builtin(self.settings),
            "environment": as_builtin(self.environment),
            "counts": {name: self.counts[name] for name in ORDER if self.counts[name]},
            "verdicts": [entry.to_json() for entry in self.entries],
            "lost": list(self.lost),
            "changes": [change.to_json() for change in self.changes],
            "run": as_builtin({"command": self.command, "began": self.began, "seconds": self.seconds}),
        }

    @classmethod
    def from_json(cls, given: Any) -> Report:
        """The report that `to_json` was made of.

        Raises:
            NotAReport: for anything else; the sentence says what is wrong.
        """
        if wrong := unlike(given, FORMAT, VERSION):
            raise NotAReport(wrong)
        try:
            return sorted_report(
                map(Entry.from_json, given["verdicts"]),
                settings=given["settings"], environment=given["environment"], lost=tuple(given["lost"]),
                changes=tuple(map(Change.from_json, given["changes"])), **given["run"],
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            missing = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise NotAReport(missing) from None

    @classmethod
    def read(cls, path: Path) -> Report:
        """The report that a file holds.

        Raises:
            NotAReport: where it holds none; the sentence names it.
            OSError: where it cannot be read.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except NotAReport as error:
            raise NotAReport(f"{path} is no report of pytest-saliency-sanity: {error}") from None
        except (ValueError, RecursionError) as error:  # of json, of UTF-8
            raise NotAReport(f"{path} is no report of pytest-saliency-sanity: {error}") from None


def unlike(given: Any, form: str, version: int) -> str:
    """Why some JSON is not of this format and version; "" where it is."""
    if not isinstance(given, Mapping) or given.get("format") != form:
        return f'it has no "format": "{form}"'
    present = given.get("version")
    return (
        "" if present == version else f"its version is {present!r}, and this release reads version {version}"
    )


def sorted_report(entries: Iterable[Entry], **stated: Any) -> Report:
    """A report of entries in any order."""
    return Report(tuple(sorted(entries, key=lambda entry: entry.key)), **stated)


def written(report: Report) -> str:
    """The text of its JSON file."""
    return json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
