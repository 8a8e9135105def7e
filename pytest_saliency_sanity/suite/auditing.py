"""All checks on many explainers without pytest: a table of verdicts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

from tqdm.auto import tqdm

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.sharing import sharing
from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.plan import Plan, Planning, Plans
from pytest_saliency_sanity.report import matrix
from pytest_saliency_sanity.suite import evaluation
from pytest_saliency_sanity.suite.choices import ALL, checked_options, chosen_explainers
from pytest_saliency_sanity.suite.claims import Axioms, all_of, asked_of
from pytest_saliency_sanity.suite.distribution import checked_executor, distributed
from pytest_saliency_sanity.suite.results import Pair, Questions, Result
from pytest_saliency_sanity.text import shown


@dataclass(frozen=True)
class Audit:
    """The results of several explainers and checks; `audit["gradient", "model_sensitivity"]` is one of them."""

    results: tuple[Result, ...]

    @property
    def explainers(self) -> tuple[str, ...]:
        """The explainers' names, in their order."""
        return tuple(dict.fromkeys(one.explainer for one in self.results))

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks' names, in their order."""
        return tuple(dict.fromkeys(one.check for one in self.results))

    def __getitem__(self, place: tuple[str, str]) -> Result:
        """The result of (explainer, check).

        Raises:
            KeyError: where there is none, with the choices.
        """
        for one in self.results:
            if (one.explainer, one.check) == place:
                return one
        raise KeyError(
            f"{place!r}; explainers: {', '.join(self.explainers)}; checks: {', '.join(self.checks)}"
        )

    def __iter__(self) -> Iterator[Result]:
        """The results, explainer by explainer."""
        return iter(self.results)

    def __len__(self) -> int:
        """How many results there are."""
        return len(self.results)

    def __str__(self) -> str:
        """The table, and below it the first line of each verdict that is no pass."""
        return matrix.text(self.explainers, self.checks, self._cells())

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        return matrix.html(self.explainers, self.checks, self._cells())

    def to_json(self) -> dict[str, Any]:
        """All results as builtin types."""
        return {"results": [one.to_json() for one in self.results]}

    def to_frame(self) -> Any:
        """A data frame with a row for each result: explainer, check, outcome, reason, statistic, lower, upper, seconds.

        Raises:
            ImportError: where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("Audit.to_frame needs pandas: pip install pandas") from error
        return pd.DataFrame([_row(one) for one in self.results])

    def _cells(self) -> dict[tuple[str, str], matrix.Cell]:
        return {(one.explainer, one.check): one.cell() for one in self.results}


@overload
def audit(
    explainers: Mapping[str, Any],
    case: Case,
    checks: str | Iterable[str] = ALL,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    axioms: Axioms | None = None,
    seed: int | None = None,
    profile: str | None = None,
    max_seconds: float | None = None,
    progress: bool = True,
    executor: Executor | None = None,
    plan: Literal[False] = False,
) -> Audit: ...


@overload
def audit(
    explainers: Mapping[str, Any],
    case: Case,
    checks: str | Iterable[str] = ALL,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    axioms: Axioms | None = None,
    seed: int | None = None,
    profile: str | None = None,
    max_seconds: float | None = None,
    progress: bool = True,
    executor: Executor | None = None,
    plan: Literal[True],
) -> Plans: ...


def audit(
    explainers: Mapping[str, Any],
    case: Case,
    checks: str | Iterable[str] = ALL,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    axioms: Axioms | None = None,
    seed: int | None = None,
    profile: str | None = None,
    max_seconds: float | None = None,
    progress: bool = True,
    executor: Executor | None = None,
    plan: bool = False,
) -> Audit | Plans:
    """Every check on every explainer, without pytest: a table of verdicts that no bad explainer interrupts.

    What the explainers have in common is made once: the maps of the control explainers, the networks that are trained.
    Where an explainer breaks its contract, its other checks are not asked.

    Args:
        explainers: names to explainers: anything that the checks take, or a text such as "captum:Saliency".
        case: the model and the data; what it does not have is not asked for.
        checks: "all", every check that has an assertion, or names of checks. "all" asks for an axiom only where it is
            claimed.
        options: for checks their keyword options, such as {"consistency": {"min_agreement": 0.8}}.
        axioms: as in `parametrize_with_sanity_checks`.
        seed, profile, max_seconds: as of every check; the budget is that of one check.
        progress: whether a progress bar is shown.
        executor: of processes, which share the work; None means this process alone. The verdicts are the same at the
            same number of torch's threads, which the workers are given, if the explainers keep nothing from one check
            to the next: each check has a copy of its own. What a broken pool leaves is done in this process.
        plan: run no check and train nothing: return what each would take; the executor is not used.

    Returns:
        The verdicts; with `plan` the plans, which print as a table with explanations, networks to train, seconds and
        memory.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    executor = checked_executor(executor)
    questions = _questions(explainers, case, checks, options, axioms)
    of_run = settings.overridden(settings.current(), seed=seed, profile=profile, max_seconds=max_seconds)
    plans: list[Plan] = []
    of_run = replace(of_run, planning=Planning(plans.append)) if plan else of_run
    with (
        _with_cache(of_run),
        sharing(),
        tqdm(total=len(questions.pairs), disable=not progress or of_run.progress is None, leave=False) as bar,
    ):
        if executor is not None and not plan:
            return Audit(distributed(questions, executor, bar))
        results = tuple(_shown(questions, pair, bar) for pair in questions.pairs)
    return Plans(tuple(plans)) if plan else Audit(results)


def _questions(explainers: Any, case: Any, checks: Any, options: Any, axioms: Any) -> Questions:
    named = chosen_explainers(explainers)
    asked = asked_of(named, checks, axioms)
    given = checked_options(options, all_of(asked))
    if not isinstance(case, Case):
        raise TypeError(f"case must be a Case(model=…, inputs=…), not {shown(case)}")
    for check in all_of(asked):
        evaluation.why_not(check, case)
    return Questions(named, case, given, tuple((name, check) for name in named for check in asked[name]))


def _shown(questions: Questions, pair: Pair, bar: Any) -> Result:
    bar.set_description(f"{pair[0]}, {pair[1].name}")
    result = questions.answered(pair)
    bar.update()
    return result


@contextmanager
def _with_cache(of_run: settings.Settings) -> Iterator[None]:
    """Networks that are trained for one explainer are there for the next."""
    if of_run.cache is not None:
        with settings.using(of_run):
            yield
        return
    with tempfile.TemporaryDirectory() as folder, settings.using(settings.overridden(of_run, cache=folder)):
        yield


def _row(one: Result) -> dict[str, Any]:
    verdict = one.verdict
    lower, upper = (verdict.interval if verdict else None) or (None, None)
    return {
        "explainer": one.explainer,
        "check": one.check,
        "outcome": one.outcome,
        "reason": verdict.reason if verdict else one.skipped,
        "statistic": verdict.statistic if verdict else None,
        "lower": lower,
        "upper": upper,
        "seconds": one.seconds,
    }
