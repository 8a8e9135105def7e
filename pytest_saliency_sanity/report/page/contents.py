"""What the page shows, as values: the template asks for nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report import colors, comparison, metrics, numbers, reasons, table
from pytest_saliency_sanity.report.page import albums, evidence, facts, figures
from pytest_saliency_sanity.report.page.palette import TONES
from pytest_saliency_sanity.report.words import BOUNDS, ORDER, SYMBOLS, interval_heading, label

if TYPE_CHECKING:
    from pytest_saliency_sanity.report.comparison import Change
    from pytest_saliency_sanity.report.document import Entry, Report
    from pytest_saliency_sanity.report.pictures import Picture
    from pytest_saliency_sanity.verdict import Stage, Verdict

MOST_IN_A_CELL = 4
CHANGES_FIRST, CHANGES_MOST = 12, 200  # that are shown, and that can be unfolded
_Whose = tuple[str, str]  # explainer, model


@dataclass(frozen=True)
class Shown:
    """A verdict on the page.

    Attributes:
        anchor: what a link to it names; nothing that a user chose.
        entry: the verdict.
        pictures: those of its maps that the page has room for.
    """

    anchor: str
    entry: Entry
    pictures: tuple[Picture, ...]

    @property
    def verdict(self) -> Verdict:
        """What was found."""
        return self.entry.verdict

    @property
    def counted(self) -> str:
        """As what it counts."""
        return self.entry.counted

    @property
    def tone(self) -> str:
        """The name of its colors."""
        return TONES[self.counted]

    @property
    def symbol(self) -> str:
        """What stands for its outcome beside the color."""
        return SYMBOLS[self.counted]

    @property
    def check(self) -> str:
        """The check in words; the number of the verdict where the test has several of it."""
        again = f", number {self.entry.number + 1}" if self.entry.number else ""
        return f"{self.verdict.check.replace('_', ' ')}{again}"

    @property
    def number(self) -> str:
        """The statistic."""
        return numbers.of_verdict(self.verdict)[0]

    @property
    def interval(self) -> str:
        """Its bounds."""
        return numbers.of_verdict(self.verdict)[1]

    @property
    def folded(self) -> bool:
        """Whether it is folded at first: nobody has to read a pass."""
        return self.counted == "pass"

    @property
    def strip(self) -> albums.Strip:
        """The maps, a row an image."""
        return albums.strip_of(self.pictures, self.entry.pictures)

    @cached_property
    def plots(self) -> list[figures.Plot]:
        """The plots of its numbers."""
        return figures.of(self.verdict, self.anchor)

    @property
    def interval_heading(self) -> str:
        """The heading of the stages' intervals."""
        return interval_heading(self.verdict.stages)

    @property
    def rows(self) -> list[tuple[Stage, tuple[str, ...]]]:
        """Each stage, and the cells beside its name."""
        return [(stage, _cells(stage)) for stage in self.verdict.stages]

    def tone_of(self, stage: Stage) -> str:
        """The name of a stage's colors."""
        return TONES[stage.outcome]

    def sign_of(self, stage: Stage) -> str:
        """What stands for a stage's outcome beside the color."""
        return SYMBOLS[stage.outcome]

    @property
    def beside(self) -> list[metrics.Shown]:
        """The field's figures, which decide nothing."""
        return metrics.of(self.verdict)

    @property
    def reason(self) -> reasons.Reason | None:
        """What its code means."""
        return reasons.explained(self.verdict.reason)

    @property
    def evidence(self) -> str:
        """The numbers behind it, shortened."""
        return evidence.text(self.verdict)


@dataclass(frozen=True)
class Section:
    """The verdicts of an explainer on a model, failures first."""

    anchor: str
    explainer: str
    model: str
    verdicts: tuple[Shown, ...]

    @property
    def parts(self) -> list[str]:
        """The explainer's name, where it may be broken."""
        return re.findall(r"[^_(=:.,]*[_(=:.,]*", self.explainer)[:-1]

    @property
    def counts(self) -> list[tuple[str, int]]:
        """As what its verdicts count, and how many, failures first."""
        return _sorted_counts(shown.counted for shown in self.verdicts)

    def of(self, check: str) -> list[Shown]:
        """Its verdicts of a check."""
        return [shown for shown in self.verdicts if shown.verdict.check == check]


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    report: Report
    sections: tuple[Section, ...]

    @property
    def verdicts(self) -> list[Shown]:
        """All of them, in the order of the page."""
        return [shown for section in self.sections for shown in section.verdicts]

    @property
    def counts(self) -> list[tuple[str, int]]:
        """As what the verdicts count, and how many, failures first."""
        return _sorted_counts(entry.counted for entry in self.report.entries)

    @property
    def worst(self) -> str:
        """As what the headline counts: a pass, unless something failed or stayed open."""
        return facts.worst(self.report)

    @property
    def headline(self) -> str:
        """What a reader has to know if nothing else."""
        return facts.headline(self.report)

    @property
    def short_facts(self) -> str:
        """The same in a line."""
        return facts.in_short(self.report)

    @property
    def facts(self) -> Mapping[str, str]:
        """How the run was made."""
        return facts.facts(self.report)

    @property
    def checks(self) -> list[str]:
        """The columns of the overview."""
        return list(dict.fromkeys(shown.verdict.check for shown in _by_key(self.verdicts)))

    @property
    def several_models(self) -> bool:
        """Whether a row has to say on which model."""
        return len({section.model for section in self.sections}) > 1

    @property
    def changes(self) -> list[tuple[Change, str, str]]:
        """Against the baseline: each change, its tone, and the anchor of the verdict, "" where it has none here."""
        anchors = {shown.entry.key: shown.anchor for shown in self.verdicts}
        return [(one, _CHANGES[one.kind], anchors.get(one.key, "")) for one in self.report.changes]

    @property
    def has_pictures(self) -> bool:
        """Whether any verdict has maps to show."""
        return any(shown.pictures for shown in self.verdicts)

    # What the template asks of a word.
    bounds = BOUNDS
    label = staticmethod(label)
    symbols = SYMBOLS
    tones = TONES
    most_in_a_cell = MOST_IN_A_CELL
    changes_first, changes_most = CHANGES_FIRST, CHANGES_MOST
    spans = staticmethod(reasons.spans)


_CHANGES = {
    comparison.REGRESSION: "bad",
    comparison.OTHER_QUESTION: "bad",
    comparison.DRIFT: "open",
    comparison.IMPROVEMENT: "good",
    comparison.NEW: "quiet",
    comparison.MISSING: "quiet",
}


def page_of(report: Report) -> Page:
    """The page of a run: the explainers with failures first."""
    entries = table.sorted_by_outcome(report.entries)
    chosen = albums.chosen([entry.pictures for entry in entries])
    shown = [
        Shown(f"v{number}", entry, pictures)
        for number, (entry, pictures) in enumerate(zip(entries, chosen, strict=True), 1)
    ]
    return Page(report, tuple(_sections(shown)))


def bars() -> str:
    """The color bars of heat maps, as CSS."""
    return "\n".join(
        f".bar.{name}{{background:{colors.css_gradient(signed)}}}"
        for name, signed in (("signed", True), ("unsigned", False))
    )


def _sections(verdicts: Sequence[Shown]) -> Iterator[Section]:
    """One for each explainer and model, the one with the worst verdict first; verdicts come sorted so."""
    whose: dict[_Whose, list[Shown]] = {}
    for one in verdicts:
        whose.setdefault((one.verdict.explainer, one.verdict.model), []).append(one)
    for number, ((explainer, model), found) in enumerate(whose.items(), 1):
        yield Section(f"e{number}", explainer, model, tuple(found))


def _by_key(verdicts: Iterable[Shown]) -> list[Shown]:
    return sorted(verdicts, key=lambda shown: shown.verdict.check)


def _sorted_counts(counted: Iterable[str]) -> list[tuple[str, int]]:
    found = Counter(counted)
    return [(name, found[name]) for name in ORDER if found[name]]


def _cells(stage: Stage) -> tuple[str, ...]:
    found = (stage.detail, *numbers.of_stage(stage))
    if not stage.judged:
        return (*found, "", "shown only")
    fails, passes = stage.lines
    below, above = ("fails", "passes") if stage.more_is_better else ("passes", "fails")
    low, high = map(numbers.line, sorted((fails, passes)))
    lines = (
        f"{below} below, {above} above {low}" if low == high else f"{below} below {low}, {above} above {high}"
    )
    return (*found, lines, stage.outcome)
