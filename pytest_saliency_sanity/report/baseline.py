"""The baseline: a committed file of verdicts that later runs are held against, and that only a flag changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_saliency_sanity.builtin import as_builtin
from pytest_saliency_sanity.report.comparison import MISSING, Change, Recorded, compared
from pytest_saliency_sanity.report.document import Report, unlike

FORMAT = "pytest-saliency-sanity baseline"
VERSION = 1
CREATE, FIX, TRIM = "create", "fix", "trim"
_FIXED = ("seed", "profile")  # of a run, without which nothing can be compared


class NotABaseline(ValueError):
    """A file is not a baseline of ours. The message names it and says what is wrong."""


@dataclass(frozen=True)
class Baseline:
    """Verdicts that were accepted.

    Attributes:
        records: one for each verdict, sorted by their keys.
        settings: seed and profile of the run that made it.
        environment: its versions and platform.
    """

    records: tuple[Recorded, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    environment: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def other_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """Where a run with these settings asks another question than the baseline did."""
        return [
            f"{name} {self.settings[name]!r} → {settings[name]!r}"
            for name in _FIXED
            if name in self.settings and self.settings[name] != settings[name]
        ]

    def changes(self, report: Report, is_due: Callable[[str], bool] = bool) -> tuple[Change, ...]:
        """What differs from it.

        Args:
            report: of the run.
            is_due: whether a test of this node id should have reached its verdicts; those of others are not missing.
        """
        found = compared(self.records, [entry.recorded for entry in report.entries])
        return tuple(change for change in found if change.kind != MISSING or is_due(change.key[0]))

    def updated(self, report: Report, how: Collection[str], is_due: Callable[[str], bool] = bool) -> Baseline:
        """The baseline after a run, as far as `how` allows.

        Args:
            report: of the run.
            how: some of "create" (verdicts that it does not have), "fix" (those that it has, as they are now), and
                "trim" (verdicts of the baseline that are missing are removed).
            is_due: as in `changes`.
        """
        present = {one.key: one for one in self.records}
        reached = {entry.key: entry.recorded for entry in report.entries}
        kept = {
            key: one
            for key, one in present.items()
            if key in reached or TRIM not in how or not is_due(one.nodeid)
        }
        kept |= {key: one for key, one in reached.items() if (FIX if key in present else CREATE) in how}
        settings = (
            {name: report.settings[name] for name in _FIXED}
            if FIX in how or not self.settings
            else self.settings
        )
        if (kept, settings) == (present, self.settings):
            return self
        return Baseline(tuple(kept[key] for key in sorted(kept)), settings, report.environment)

    def text(self) -> str:
        """Its file: sorted, and the same for the same verdicts."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "settings": as_builtin(self.settings),
            "environment": as_builtin(self.environment),
            "verdicts": [one.to_json() for one in self.records],
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """The baseline that a file holds.

        Raises:
            NotABaseline: where it holds none; the sentence names it.
            OSError: where it cannot be read.
        """
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
            if wrong := unlike(given, FORMAT, VERSION):
                raise NotABaseline(wrong)
            records = tuple(map(Recorded.from_json, given["verdicts"]))
            return cls(records, given["settings"], given["environment"])
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise NotABaseline(f"{path} is no baseline of pytest-saliency-sanity: {reason}") from None
