"""The result of a sanity check, as a frozen value.

The outcome is never stored. It is derived from the findings (what stopped the measurement: a broken contract,
a gate) and, where there are none, from the stages (what was measured, with its bounds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pytest_saliency_sanity.builtin import as_builtin, as_json, cast_fields, fields_of
from pytest_saliency_sanity.frameless import without_frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pytest_saliency_sanity.report.pictures import Picture

Outcome = Literal["pass", "fail", "inconclusive", "error"]
NOT_APPLICABLE = (
    "not_applicable"  # reason code: the method does not exist for the model; tables say "refused"
)


@dataclass(frozen=True)
class Claim:
    """The words of a check, which a message puts around the numbers.

    Attributes:
        fails: what a failing explainer does, e.g. "ignores the model".
        measures: follows the statistic, e.g. "of the map survives when".
        columns: headings of the stage table: name, detail, statistic.
        code: the reason code of a fail by the numbers, e.g. "insensitive".
        passed: the reason code of a pass.
    """

    fails: str
    measures: str
    columns: tuple[str, str, str]
    code: str = "insensitive"
    passed: str = "sensitive"

    def __post_init__(self) -> None:
        cast_fields(self)

    def to_json(self) -> dict[str, Any]:
        """The words as builtin types."""
        return as_json(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Claim:
        """The claim that `to_json` was made of."""
        return cls(**{**fields_of(cls, given), "columns": tuple(given["columns"])})


@dataclass(frozen=True)
class Stage:
    """One measurement: a statistic with one-sided bounds, and the thresholds that they are compared with.

    Where less is better (what survives a randomization) the lines are `fail_above` and `pass_below`; where more is
    better (how well a map points at an object) they are `fail_below` and `pass_above`, and the other two are None.

    Attributes:
        name: e.g. "upper".
        detail: what was done, e.g. "fc2, fc1 (2 of 5 blocks)".
        sentence: the same, as part of a sentence, e.g. "the upper third is re-initialized".
        statistic: point estimate; for the sensitivity checks the retained fraction rho.
        lower: lower confidence bound at level 1 - `alpha_fail`; 1 - `alpha_pass` where more is better.
        upper: upper confidence bound at level 1 - `alpha_pass`; 1 - `alpha_fail` where more is better.
        alpha_fail: one-sided level of the bound that fails, after the correction for several stages and looks.
        alpha_pass: one-sided level of the bound that passes, after the correction for several looks.
        judged: False for a measurement that is shown and decides nothing.
        images: how many images went into it.
        draws: how many re-initializations (or other targets) went into it.
        fail_above: the stage fails when `lower` is above.
        pass_below: the stage passes when `upper` is below.
        fail_below: the stage fails when `upper` is below.
        pass_above: the stage passes when `lower` is above.
        evidence: further numbers, builtin types only.
    """

    name: str
    statistic: float
    lower: float
    upper: float
    alpha_fail: float
    alpha_pass: float
    images: int
    draws: int
    fail_above: float | None = None
    pass_below: float | None = None
    fail_below: float | None = None
    pass_above: float | None = None
    detail: str = ""
    sentence: str = ""
    judged: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        cast_fields(self)

    @property
    def outcome(self) -> Outcome:
        """fail, pass or inconclusive, by the bounds alone."""
        failing, passing = self.lines
        if self.more_is_better:
            fails, passes = self.upper < failing, self.lower > passing
        else:
            fails, passes = self.lower > failing, self.upper < passing
        if fails:
            return "fail"
        return "pass" if passes else "inconclusive"

    @property
    def more_is_better(self) -> bool:
        """Whether a large statistic speaks for the explainer."""
        return self.pass_above is not None

    @property
    def lines(self) -> tuple[float, float]:
        """The line at which it fails, and the one at which it passes.

        Raises:
            ValueError: for a stage that was given neither pair.
        """
        for fails, passes in ((self.fail_below, self.pass_above), (self.fail_above, self.pass_below)):
            if fails is not None and passes is not None:
                return fails, passes
        raise ValueError(f"stage {self.name!r} needs fail_above and pass_below, or fail_below and pass_above")

    @property
    def threshold(self) -> float:
        """The threshold that gave the outcome."""
        fails, passes = self.lines
        return fails if self.outcome == "fail" else passes

    @property
    def interval(self) -> tuple[float, float]:
        """(lower, upper)."""
        return self.lower, self.upper

    def to_json(self) -> dict[str, Any]:
        """The stage as builtin types, with its outcome.

        Numbers that are not finite are None; where there are such, "not_finite" says which they are.
        """
        derived = {"outcome": self.outcome, "threshold": self.threshold}
        return {**as_json(self), **derived}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Stage:
        """The stage that `to_json` was made of."""
        return cls(**fields_of(cls, given))


@dataclass(frozen=True)
class Finding:
    """What settled the verdict before the stages could: a broken contract, a gate, the budget.

    Attributes:
        reason: a short code, e.g. "contract.shape", "constant", "gate.controls", "not_applicable", "budget".
        outcome: what the finding makes of the verdict.
        sentence: who, what, by how much; without the explainer's name, which a message puts in front.
    """

    reason: str
    outcome: Outcome
    sentence: str

    def __post_init__(self) -> None:
        cast_fields(self)

    def to_json(self) -> dict[str, Any]:
        """The finding as builtin types."""
        return as_json(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` was made of."""
        return cls(**fields_of(cls, given))


@dataclass(frozen=True)
class Verdict:
    """What a check found out about one explainer of one model.

    Attributes:
        check: the check's name, e.g. "model_sensitivity".
        explainer: the explainer's name.
        model: the model's name.
        claim: the check's words.
        stages: the measurements, shallow to deep; those with `judged` decide.
        findings: what precedes the measurements; the first one decides.
        seed: the seed that replays the check.
        hint: what the diagnosis suggests, or "".
        notes: what a reader must know to weigh the verdict, in sentences.
        caveats: the same in a word or two, for the end of the summary ("accuracy not checked", ...).
        replay: the command that repeats exactly this check, or "".
        evidence: all other numbers, builtin types only.
        provenance: what the verdict is about: the options that were given, fingerprints of the model's architecture
            and weights, and of the images; builtin types only.
        exception: the exception that the explainer raised, in this process, without its frames (a note says where it
            was raised); it is not pickled.
        pictures: thumbnails of the maps, where they were asked for (`pictures=True`): at most 64 KiB. They are neither
            compared, nor in JSON, nor pickled.
    """

    check: str
    explainer: str
    model: str
    claim: Claim
    seed: int
    stages: tuple[Stage, ...] = ()
    findings: tuple[Finding, ...] = ()
    hint: str = ""
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    replay: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)
    exception: BaseException | None = field(default=None, compare=False, repr=False)
    pictures: tuple[Picture, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        cast_fields(self)
        if self.exception is not None:  # its frames would keep the model alive for as long as the verdict is
            object.__setattr__(self, "exception", without_frames(self.exception))

    @property
    def judged(self) -> tuple[Stage, ...]:
        """The stages that decide."""
        return tuple(stage for stage in self.stages if stage.judged)

    @property
    def outcome(self) -> Outcome:
        """pass, fail, inconclusive or error."""
        if self.findings:
            return self.findings[0].outcome
        outcomes = [stage.outcome for stage in self.judged]
        if "fail" in outcomes:
            return "fail"
        return "pass" if outcomes and set(outcomes) == {"pass"} else "inconclusive"

    @property
    def reason(self) -> str:
        """A short code: the first finding's, else the claim's ("insensitive", "sensitive"), or "bound"."""
        if self.findings:
            return self.findings[0].reason
        return {"fail": self.claim.code, "inconclusive": "bound"}.get(self.outcome, self.claim.passed)

    @property
    def deciding(self) -> Stage | None:
        """The judged stage that decided: the worst with the verdict's outcome; None if there is none."""
        return max(self.judged, key=_severity, default=None)

    @property
    def statistic(self) -> float | None:
        """The deciding stage's statistic."""
        return self.deciding.statistic if self.deciding else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The deciding stage's (lower, upper)."""
        return self.deciding.interval if self.deciding else None

    @property
    def threshold(self) -> float | None:
        """The threshold that the deciding stage was compared with."""
        return self.deciding.threshold if self.deciding else None

    @property
    def summary(self) -> str:
        """The first line: who, what, by how much, with the bound and the threshold."""
        return _as_summary(self)

    def render(self) -> str:
        """The whole message: summary, table, hint, notes, replay command."""
        return _as_message(self)

    def __str__(self) -> str:
        return self.render()

    def _repr_html_(self) -> str:
        """The verdict for a notebook: the summary, its pictures, the table of stages."""
        from pytest_saliency_sanity.report.notebook import html

        return html(self)

    def plot(self) -> Figure:
        """The numbers as a figure of matplotlib: each stage with its interval and its lines, and the curves, if any.

        Raises:
            ImportError: where matplotlib is not installed.
        """
        from pytest_saliency_sanity.report.plot import figure

        return figure(self)

    def to_json(self) -> dict[str, Any]:
        """The verdict as a dict of builtin types; numbers that are not finite become None.

        An xdist worker cannot send a numpy scalar on a pytest report: it would lose the test, and a failing run would
        pass. This is the one boundary where everything is cast.
        """
        derived = ("outcome", "reason", "statistic", "interval", "threshold", "summary")
        return {
            **{name: as_builtin(getattr(self, name)) for name in _STATED + derived},
            "claim": self.claim.to_json(),
            "stages": [stage.to_json() for stage in self.stages],
            "findings": [finding.to_json() for finding in self.findings],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_json` was made of: equal to it, with the same text, without its exception.

        Raises:
            ValueError: for what is no verdict's JSON; the sentence says what is missing or odd.
        """
        try:
            return cls(
                **{name: given[name] for name in _STATED},
                claim=Claim.from_json(given["claim"]),
                stages=tuple(map(Stage.from_json, given["stages"])),
                findings=tuple(map(Finding.from_json, given["findings"])),
            )
        except KeyError as error:
            raise ValueError(f"the JSON of a verdict needs {error}") from None
        except (AttributeError, TypeError) as error:
            raise ValueError(f"this is not the JSON of a verdict: {error}") from None

    def __getstate__(self) -> dict[str, Any]:
        # An explainer's exception may hold anything; its text is in the finding. Pictures stay where they were made.
        return {**self.__dict__, "exception": None, "pictures": ()}


_STATED = (
    "check", "explainer", "model", "seed", "hint", "notes", "caveats", "replay", "evidence", "provenance",
)  # fmt: skip


def _as_summary(verdict: Verdict) -> str:
    """The one import of a higher room, made when a verdict is shown."""
    from pytest_saliency_sanity.report.message import summary

    return summary(verdict)


def _as_message(verdict: Verdict) -> str:
    from pytest_saliency_sanity.report.message import message

    return message(verdict)


def _severity(stage: Stage) -> tuple[int, float]:
    rank = ("pass", "inconclusive", "fail").index(stage.outcome)
    if stage.more_is_better:
        return rank, -(stage.upper if rank == 2 else stage.lower)
    return rank, stage.lower if rank == 2 else stage.upper
