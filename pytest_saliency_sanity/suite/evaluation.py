"""One check of one explainer on a case; and whether the explainer keeps its contract, asked once in a process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted, named
from pytest_saliency_sanity.audited.planned import planned_only
from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.checks.registration import of_name
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.examination.leaks import LEAKS
from pytest_saliency_sanity.examination.planning import is_planned
from pytest_saliency_sanity.perturbations.restoring.changes import checksum
from pytest_saliency_sanity.plan import Plan, Planning
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

CONTRACT = "contract"
_WORDS = {"inputs": "inputs (the four photographs that stand in are too few for it)"}
_KEPT = 64  # contracts that are kept, the oldest dropped first
_contracts: OrderedDict[tuple[Any, ...], tuple[Verdict, Any]] = OrderedDict()


def why_not(check: Check, case: Case) -> str:
    """Why the check cannot be asked with this case; "" where it can.

    Raises:
        TypeError: where there is no model, without which nothing can be asked.
    """
    missing = [field for field in check.needs if getattr(case, field) is None]
    if "model" in missing:
        raise TypeError(
            f"{check.name} needs a model, and the case has none (in pytest: the fixture saliency_model)"
        )
    words = [_WORDS.get(field, field) for field in missing]
    if not words and case.embed is not None and "embed" not in check.takes:
        return (
            f"it explains no layer's output (embed={case.embed!r}), and token ids cannot be changed a little"
        )
    return f"the case has no {', no '.join(words)}" if words else ""


def evaluated(check: Check, explainer: Any, name: str, case: Case, options: Mapping[str, Any]) -> Verdict:
    """The verdict of a check, of what the case has.

    Args:
        explainer: anything that `adapters.adapted` takes, or the name of one, as in `adapters.named`.
        name: what messages call it.

    Raises:
        NotApplicable: where the check's question cannot be asked.
        TypeError, ValueError: for bad arguments; an explainer that cannot be used is a verdict.
    """
    if missing := why_not(check, case):
        raise NotApplicable(missing)
    given = {field: getattr(case, field) for field in check.takes}
    try:
        called = adapted(named(explainer) if isinstance(explainer, str) else explainer)
        verdict: Verdict = check.load()(called, **given, name=name, **options)
    except UnusableExplainer as error:
        if is_planned():
            return planned_only(Plan(check.name, name, type(case.model).__name__, problem=str(error)))
        return concluded(_unusable(check, name, case, str(error)))
    return verdict


def contract_of(explainer: Any, name: str, case: Case) -> Verdict | None:
    """The explainer's contract with the case's model, asked once in a process.

    It is not concluded: whoever reports it records it, with the command that replays it there. None where the case has
    no model, or one that has no weights before its first forward pass.
    """
    if case.model is None or is_unfinished(case.model):
        return None
    key = _key(explainer, case)
    if (planning := settings.current().planning) is not None:  # a plan is not kept for a run
        told = planning.told if planning.is_first(key) else _untold
        return ask_contract(explainer, name, case, replace(planning, told=told))
    verdict = _contracts[key][0] if key in _contracts else _kept(key, explainer, name, case)
    return verdict if verdict.explainer == name else replace(verdict, explainer=name)


def is_unfinished(model: nn.Module) -> bool:
    """Whether the model has no weights before its first forward pass."""
    return any(map(is_lazy, _state(model)))


def keep_contract(explainer: Any, case: Case, verdict: Verdict) -> None:
    """Let `contract_of` find what was asked in another process."""
    _keep(_key(explainer, case), explainer, case, verdict)


def ask_contract(explainer: Any, name: str, case: Case, planning: Planning | None = None) -> Verdict:
    """The explainer's contract, asked or planned now; neither kept nor recorded."""
    present = settings.current()
    with settings.using(replace(present, record=None, asserted=None, notes=(), planning=planning)):
        return evaluated(of_name(CONTRACT), explainer, name, case, {})


def broken(contract: Verdict | None) -> bool:
    """Whether nothing else can be asked.

    A constant map keeps the contract's form, and fails each check by itself; what a leak leaves makes no map the worse.
    """
    return contract is not None and contract.outcome == "error" and contract.reason not in LEAKS


def _kept(key: tuple[Any, ...], explainer: Any, name: str, case: Case) -> Verdict:
    return _keep(key, explainer, case, ask_contract(explainer, name, case))


def _keep(key: tuple[Any, ...], explainer: Any, case: Case, verdict: Verdict) -> Verdict:
    alive = explainer, case.model, case.inputs, case.targets  # as long as their ids are compared
    _contracts[key] = verdict, alive
    while len(_contracts) > _KEPT:
        _contracts.popitem(last=False)
    return verdict


def _untold(plan: Plan) -> None:
    """Of a contract that was planned before."""


def _key(explainer: Any, case: Case) -> tuple[Any, ...]:
    """What a contract depends on: the explainer, the model and its values, the images, targets and the seed."""
    state = tuple(map(checksum, _state(case.model)))
    images = tuple(
        checksum(one) if isinstance(one, Tensor) else id(one) for one in (case.inputs, case.targets)
    )
    of_run = settings.current()
    run = of_run.seed, of_run.profile, of_run.pictures
    return id(explainer), id(case.model), state, images, case.channel_axis, case.embed, *run


def _state(model: nn.Module) -> tuple[Tensor, ...]:
    return (*model.parameters(), *model.buffers())


def _unusable(check: Check, name: str, case: Case, sentence: str) -> Verdict:
    return Verdict(
        check=check.name,
        explainer=name,
        model=type(case.model).__name__,
        claim=Claim("cannot be used", "", ("", "", "")),
        seed=settings.current().seed,
        findings=(Finding("contract.unusable", "error", sentence),),
    )
