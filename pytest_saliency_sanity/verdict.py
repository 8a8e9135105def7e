"""The result of a sanity check, as a frozen value.

The outcome is never stored. It is derived from the findings (what stopped the measurement: a broken contract,
a gate) and, where there are none, from the stages (what was measured, with its bounds).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_saliency_sanity.frameless import without_frames
from pytest_saliency_sanity.text import encodable

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
        _cast_fields(self)

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
        """The stage as builtin types, with its outcome."""
        return {**_fields_as_builtins(self), "outcome": self.outcome, "threshold": self.threshold}


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
        _cast_fields(self)

    def to_json(self) -> dict[str, Any]:
        """The finding as builtin types."""
        return _fields_as_builtins(self)


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
        exception: the exception that the explainer raised, in this process, without its frames (a note says where it
            was raised); it is not pickled.
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
    exception: BaseException | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        _cast_fields(self)
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

    def to_json(self) -> dict[str, Any]:
        """The verdict as a dict of builtin types; numbers that are not finite become None.

        An xdist worker cannot send a numpy scalar on a pytest report: it would lose the test, and a failing run would
        pass. This is the one boundary where everything is cast.
        """
        derived = ("outcome", "reason", "statistic", "interval", "threshold", "summary")
        stated = ("check", "explainer", "model", "seed", "hint", "notes", "caveats", "replay", "evidence")
        return {
            **{name: as_builtin(getattr(self, name)) for name in stated + derived},
            "stages": [stage.to_json() for stage in self.stages],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def __getstate__(self) -> dict[str, Any]:
        # An explainer's exception may hold anything; its text is in the finding.
        return {**self.__dict__, "exception": None}


def _as_summary(verdict: Verdict) -> str:
    """The one import of a higher room, made when a verdict is shown."""
    from pytest_saliency_sanity.report.message import summary

    return summary(verdict)


def _as_message(verdict: Verdict) -> str:
    from pytest_saliency_sanity.report.message import message

    return message(verdict)


def as_builtin(value: Any) -> Any:
    """`value` made of dict, list, str, int, float, bool and None only; not-finite numbers become None."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {encodable(str(key)): as_builtin(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_builtin(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, tensors
        return as_builtin(value.tolist()) if not isinstance(value, float) else _finite(float(value))
    if isinstance(value, int):
        return int(value)
    return _finite(float(value)) if isinstance(value, float) else encodable(str(value))


def _finite(number: float) -> float | None:
    return number if abs(number) < float("inf") else None


def _severity(stage: Stage) -> tuple[int, float]:
    rank = ("pass", "inconclusive", "fail").index(stage.outcome)
    if stage.more_is_better:
        return rank, -(stage.upper if rank == 2 else stage.lower)
    return rank, stage.lower if rank == 2 else stage.upper


def _fields_as_builtins(value: Any) -> dict[str, Any]:
    return {item.name: as_builtin(getattr(value, item.name)) for item in dataclasses.fields(value)}


_CASTS = {"float": float, "int": int, "bool": bool, "str": str}
_OPTIONAL = {"float | None": float}


def _cast_fields(value: Any) -> None:
    """Make numpy and torch scalars builtin on the way in, so that no value object ever holds one."""
    for item in dataclasses.fields(value):
        present = getattr(value, item.name)
        if item.type in _CASTS:
            object.__setattr__(value, item.name, _CASTS[item.type](present))
        elif item.type in _OPTIONAL and present is not None:
            object.__setattr__(value, item.name, _OPTIONAL[item.type](present))
        elif item.name == "evidence":
            object.__setattr__(value, item.name, as_builtin(present))
