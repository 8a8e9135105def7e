"""What differs between the verdicts of two runs: what became worse, what became better, what moved.

Verdicts are found again by (test, check, explainer, model, running number).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_saliency_sanity.builtin import as_json, cast_fields, fields_of
from pytest_saliency_sanity.report.numbers import number

_SEVERITY = ("pass", "inconclusive", "fail", "error")
REGRESSION = "regression"
IMPROVEMENT = "improvement"
DRIFT = "drift"
NEW = "new"
MISSING = "missing"
OTHER_QUESTION = "not comparable"
ORDER = (REGRESSION, OTHER_QUESTION, DRIFT, IMPROVEMENT, NEW, MISSING)
_WIDTH = max(map(len, ORDER))
_REPORTING = ("metrics", "similarities")  # options that ask for numbers which decide nothing
Key = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Recorded:
    """What is kept of a verdict to hold another run's against it.

    Attributes:
        nodeid, check, explainer, model, number: what it is found again by.
        outcome, reason: the verdict's.
        counted: as what it counted in its run, e.g. "xfail".
        statistic, lower, upper: of the deciding stage; None where nothing was measured.
        more_is_better: of that stage.
        seed: the verdict's.
        provenance: what it is about, as in `Verdict.provenance`.
    """

    nodeid: str
    check: str
    explainer: str
    model: str
    number: int
    outcome: str
    reason: str
    counted: str
    statistic: float | None
    lower: float | None
    upper: float | None
    more_is_better: bool
    seed: int
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        cast_fields(self)

    @property
    def key(self) -> Key:
        """What the verdict is found again by."""
        return self.nodeid, self.check, self.explainer, self.model, self.number

    def to_json(self) -> dict[str, Any]:
        """The record as builtin types."""
        return as_json(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Recorded:
        """The record that `to_json` was made of."""
        return cls(**fields_of(cls, given))


@dataclass(frozen=True)
class Change:
    """A difference between two runs.

    Attributes:
        kind: of `ORDER`: "regression", "not comparable", "drift", "improvement", "new", "missing".
        key: of the verdict.
        sentence: what differs.
    """

    kind: str
    key: Key
    sentence: str

    def __str__(self) -> str:
        """A line of it, its kind in front, as wide as the longest."""
        return f"{self.kind.upper():<{_WIDTH}} {self.sentence}"

    @property
    def is_worse(self) -> bool:
        """Whether a gate does not let it pass."""
        return self.kind in (REGRESSION, OTHER_QUESTION)

    def to_json(self) -> dict[str, Any]:
        """The change as builtin types."""
        return as_json(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Change:
        """The change that `to_json` was made of."""
        nodeid, check, explainer, model, number = given["key"]
        return cls(given["kind"], (nodeid, check, explainer, model, number), given["sentence"])


def compared(before: Iterable[Recorded], after: Iterable[Recorded]) -> tuple[Change, ...]:
    """What differs, regressions first; of equal kinds in the order of their keys."""
    old, new = ({one.key: one for one in records} for records in (before, after))
    changes = [change for key in old.keys() & new.keys() for change in _changes(old[key], new[key])]
    changes += [Change(NEW, key, f"{_who(key)}: {new[key].counted}") for key in new.keys() - old.keys()]
    changes += [
        Change(MISSING, key, f"{_who(key)}: was {old[key].counted}, and was not reached")
        for key in old.keys() - new.keys()
    ]
    return tuple(sorted(changes, key=lambda change: (ORDER.index(change.kind), change.key)))


def differences(before: Recorded, after: Recorded) -> list[str]:
    """Where two verdicts answer another question: the seed, the profile, the options, the shapes, the architecture."""
    old, new = _question(before), _question(after)
    return [f"{name} {old[name]!r} → {new[name]!r}" for name in old if name in new and old[name] != new[name]]


def other_content(before: Recorded, after: Recorded) -> list[str]:
    """What of weights, images, targets and training set is another one."""
    old, new = _content(before), _content(after)
    return [name for name in old if name in new and old[name] != new[name]]


def _changes(old: Recorded, new: Recorded) -> Iterator[Change]:
    who = _who(new.key)
    if differing := differences(old, new):
        yield Change(OTHER_QUESTION, new.key, f"{who}: {'; '.join(differing)}")
        return
    numbers = f"{_shown(old)} → {_shown(new)}{_about(other_content(old, new))}"
    if _SEVERITY.index(new.outcome) > _SEVERITY.index(old.outcome):
        yield Change(REGRESSION, new.key, f"{who}: {numbers}")
    elif _SEVERITY.index(new.outcome) < _SEVERITY.index(old.outcome):
        yield Change(IMPROVEMENT, new.key, f"{who}: {numbers}")
    elif old.outcome == new.outcome == "fail" and _worse(old, new):
        yield Change(REGRESSION, new.key, f"{who}: worse than before, beyond its interval: {numbers}")
    elif _apart(old, new):
        yield Change(DRIFT, new.key, f"{who}: {numbers}")


def _worse(old: Recorded, new: Recorded) -> bool:
    """Whether a failure lies beyond the interval that it had, on the bad side.

    An interval covers the choice of images and of draws, and not that of the network. So where weights or images are
    others, the new interval as a whole has to lie beyond: the statistic alone does in 12 of 96 comparisons of one
    network's expected failures with another's that differs only in its seed, the interval in 2 (docs/howto/
    keep_a_baseline.md).
    """
    if new.statistic is None:
        return False
    others = bool(other_content(old, new))
    if new.more_is_better:
        best = new.upper if others else new.statistic
        return old.lower is not None and best is not None and best < old.lower
    best = new.lower if others else new.statistic
    return old.upper is not None and best is not None and best > old.upper


def _apart(old: Recorded, new: Recorded) -> bool:
    """Whether each statistic lies beyond the other's interval."""
    return _outside(old, new.statistic) and _outside(new, old.statistic)


def _outside(one: Recorded, statistic: float | None) -> bool:
    if statistic is None or one.statistic is None:
        return False
    below = one.lower is not None and statistic < one.lower
    return below or (one.upper is not None and statistic > one.upper)


def _question(one: Recorded) -> dict[str, Any]:
    given = one.provenance
    return {
        "seed": one.seed,
        **({"profile": given["profile"]} if "profile" in given else {}),
        **({"options": _deciding(given["options"])} if "options" in given else {}),
        **({"input shapes": _shapes(given["inputs"])} if "inputs" in given else {}),
        **({"architecture": given["model"].get("architecture")} if "model" in given else {}),
    }


def _deciding(options: Any) -> Any:
    """The options without those that only report something."""
    if not isinstance(options, Mapping):
        return options
    return {name: value for name, value in options.items() if name not in _REPORTING}


def _content(one: Recorded) -> dict[str, Any]:
    given = one.provenance
    return {
        **({"weights": given["model"].get("weights")} if "model" in given else {}),
        **{
            {"inputs": "images"}.get(name, name): given[name].get("content")
            for name in ("inputs", "targets")
            if name in given
        },
        **({"training set": given["train_set"]} if "train_set" in given else {}),
    }


def _shapes(inputs: Mapping[str, Any]) -> list[list[int]]:
    """Without the number of images: more of them are another sample, and no other question."""
    return [list(shape[1:]) for shape in inputs.get("shapes", ())]


def _about(names: list[str]) -> str:
    return f" (other {', '.join(names)})" if names else ""


def _who(key: Key) -> str:
    nodeid, check, explainer, model, number = key
    again = f", number {number + 1}" if number else ""
    return f"{nodeid}: {check} of {explainer} on {model}{again}"


def _shown(one: Recorded) -> str:
    if one.statistic is None:
        return f"{one.counted} ({one.reason})"
    ends = " … ".join(map(number, (one.lower, one.upper)))
    return f"{one.counted} {number(one.statistic)} ({ends})"
