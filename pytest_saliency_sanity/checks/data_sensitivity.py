"""Data randomization (Adebayo et al. 2018, section 4): does the map depend on what the network was trained on?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Unpack

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.adapters import Adapted, adapted
from pytest_saliency_sanity.audited import provenance
from pytest_saliency_sanity.audited.conditions import OfNetworks, takes
from pytest_saliency_sanity.audited.options import check_thresholds, figure_names
from pytest_saliency_sanity.audited.subject import subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.examination.explanation import stream_of
from pytest_saliency_sanity.examination.liveness import hint_of_gate
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import is_planned
from pytest_saliency_sanity.outputs import Forward
from pytest_saliency_sanity.perturbations.label_permutation import permuted
from pytest_saliency_sanity.perturbations.restoring.modes import in_evaluation_mode
from pytest_saliency_sanity.plan import Plan, Planned
from pytest_saliency_sanity.sensitivity.diagnosis import hint_of_data_blindness, hint_of_open_question
from pytest_saliency_sanity.sensitivity.memorization import distinct, memorization_findings
from pytest_saliency_sanity.sensitivity.permuted_labels import Compared, Comparison, run
from pytest_saliency_sanity.sensitivity.planning import plan_comparison
from pytest_saliency_sanity.sensitivity.verdicts import verdict_of
from pytest_saliency_sanity.text import name_of, shown
from pytest_saliency_sanity.trained_networks import store
from pytest_saliency_sanity.trained_networks.datasets import TrainingSet, training_set
from pytest_saliency_sanity.trained_networks.networks import (
    Network,
    NotTrained,
    Recipe,
    Train,
    TrueAndPermuted,
    network,
    untrained,
)
from pytest_saliency_sanity.trained_networks.training import Options
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

CLAIM = Claim(
    fails="ignores the training data",
    measures="of the agreement between two trained networks is left when",
    columns=("trained on", "rank correlation of two networks' maps", "retained"),
)
SIGNED = 0.5  # retained fraction; `python -m tests.calibration.data_sensitivity` prints what it was chosen by
ONE_SIDED = 0.8
TWINS = {"smoke": 2, "ci": 2, "release": 5}


@takes(OfNetworks)
def check_data_sensitivity(
    explainer: Callable[..., Any],
    make_model: Callable[[], torch.nn.Module] | None = None,
    train_set: Any = None,
    inputs: Any = None,
    targets: Any = None,
    *,
    train: Train | None = None,
    models: TrueAndPermuted | None = None,
    twins: int | None = None,
    max_epochs: int | None = None,
    cache: str | Path | None = None,
    key: str | None = None,
    threshold: float = SIGNED,
    one_sided_threshold: float = ONE_SIDED,
    similarities: Sequence[str] = (),
    **conditions: Unpack[OfNetworks],
) -> Verdict:
    """Whether the maps of an explainer differ between networks trained on true and on permuted labels.

    Networks of different seeds differ anyway. So the reference is the agreement of two networks that are both trained
    on the true labels; what is measured is how much of it is left when one of them has memorized permuted labels.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        make_model: a function without arguments that returns a new, untrained network; called once for each network.
        train_set: a pair (inputs, labels) of tensors, or a map-style dataset of (input, label).
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2: the images to explain, best not in the
            train_set.
        targets: (N,) int64 or (N, K) weights; None means the prediction of the first network of the true labels.
        train: train(model, dataset, seed) -> the trained model; None means `trained_networks.training.fit`.
        models: networks that are already trained, instead of make_model and train_set.
        twins: number of networks of each kind; None means the profile's: 2, or 5 in "release". With 5 or more the
            verdict is about networks in general, with fewer about these networks.
        max_epochs: limit of the training; if the labels are not memorized by then, the verdict is inconclusive.
        cache: directory of trained networks; None means the run's (in pytest, its cache directory).
        key: a name that identifies the train_set in the cache, instead of its content.
        threshold: retained fraction above which a signed map fails and below which it passes.
        one_sided_threshold: retained fraction above which a map of one sign fails.
        similarities: the paper's figures to report: "spearman", "abs_spearman", "ssim", "hog_pearson".
        **conditions: see `OfNetworks`.

    Returns:
        The verdict, with one stage; `evidence["similarities"]` holds the table of true–true, true–permuted and
        permuted–permuted.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 4; the reference to a second
    network of the true labels is ours.
    """
    check_thresholds(threshold=threshold, one_sided_threshold=one_sided_threshold)
    similarities = figure_names(similarities)
    began = time.monotonic()
    said = {name: conditions.get(name) for name in ("seed", "profile", "max_seconds")}
    given = settings.overridden(settings.current(), cache=cache, **said)
    _check_inputs(inputs)
    explainer = _unbound(explainer)
    count = _count(twins, given.profile)
    missing = 0
    try:
        if models is not None:
            networks = _handed_over(models)
        else:
            recipe = _recipe(make_model, train, conditions.get("forward"), given, began, max_epochs)
            training = training_set(
                _present(train_set, "train_set"), key, tokens=conditions.get("embed") is not None
            )
            provenance.note(train_set=training.fingerprint())
            networks, missing = _to_plan(recipe, training, count, given.seed) if is_planned() else ((), 0)
            networks = networks or _made(recipe, training, count, given.seed)
    except (NotTrained, store.Busy) as error:
        if is_planned():
            raise Planned(
                Plan("data_sensitivity", name_of(explainer), name_of(make_model), 0, seconds=0.0)
            ) from None
        return concluded(_unmade(explainer, make_model, conditions.get("name"), given, _excuse(error)))
    audited = subject(explainer, networks[0].model, inputs, targets, **conditions)
    deadline = began + audited.amounts.max_seconds
    comparison = Comparison(
        subject=audited,
        networks=networks,
        thresholds=(threshold, one_sided_threshold),
        began=began,
        meter=Meter(deadline),
        control_meter=Meter(deadline),
        similarities=similarities,
    )
    if is_planned():
        raise Planned(plan_comparison(comparison, missing))
    return concluded(_verdict(run(comparison), networks))


assert_data_sensitive = asserting(check_data_sensitivity, "assert_data_sensitive")


# The networks.


def _check_inputs(inputs: Any) -> None:
    if inputs is None:
        raise ValueError(
            "data sensitivity needs inputs= like those of the train_set (in pytest: the fixture saliency_inputs); "
            "the networks have never seen anything like the stand-in photographs"
        )


def _unbound(explainer: Any) -> Callable[..., Any]:
    """The explainer as a function, if it can explain networks that are yet to be trained."""
    found = adapted(explainer)
    if isinstance(found, Adapted):
        found.check_unbound("data sensitivity trains other networks")
    return found


def _count(twins: int | None, profile: str) -> int:
    if twins is None:
        return TWINS[profile]
    if isinstance(twins, bool) or not isinstance(twins, int) or twins < 2:
        raise ValueError(
            f"twins, the number of networks of each kind, must be an integer of at least 2, not "
            f"{shown(twins)}"
        )
    return twins


def _present(value: Any, name: str) -> Any:
    if value is None:
        raise TypeError(
            f"there is no {name}: pass one, or define the fixture saliency_{name} in conftest.py; or pass networks "
            f"that are already trained as models=TrueAndPermuted(true=[…], permuted=[…])"
        )
    return value


def _recipe(
    make_model: Any,
    train: Train | None,
    forward: Forward | None,
    given: settings.Settings,
    began: float,
    max_epochs: int | None,
) -> Recipe:
    for name, value in (("make_model", _present(make_model, "make_model")), ("train", train)):
        if value is not None and (not callable(value) or isinstance(value, torch.nn.Module)):
            raise TypeError(f"{name} must be a function, not {shown(value)}")
    if max_epochs is not None and (
        isinstance(max_epochs, bool) or not isinstance(max_epochs, int) or max_epochs < 1
    ):
        raise ValueError(f"max_epochs must be an integer of at least 1, not {shown(max_epochs)}")
    return Recipe(
        make_model=make_model,
        train=train,
        options=Options() if max_epochs is None else Options(max_epochs=max_epochs),
        forward=forward,
        cache=None if given.cache is None else store.folder(given.cache),
        deadline=began + given.amounts.max_seconds,
        stream=given.progress,
        may_train=given.profile != "smoke",
    )


def _made(recipe: Recipe, data: TrainingSet, count: int, seed: int) -> tuple[Network, ...]:
    """The networks of the true labels, then those of permuted ones; these are made first, for they take longest.

    The first one that does not memorize ends it: it comes alone.
    """
    made: dict[str, list[Network]] = {"permuted": [], "true": []}
    for labels, networks in made.items():
        for number in range(count):
            own = stream_of(seed, labels, number)
            samples = data if labels == "true" else data.with_labels(permuted(data.labels, own).labels)
            title = f"{labels} labels, network {number + 1} of {count}"
            networks.append(network(recipe, samples, labels, own, title))
            if memorization_findings(networks[-1], 0):
                return (networks[-1],)
    return (*made["true"], *made["permuted"])


def _to_plan(recipe: Recipe, data: TrainingSet, count: int, seed: int) -> tuple[tuple[Network, ...], int]:
    """The networks, untrained, and how many of them would be trained; a check before may have planned these.

    Raises:
        NotTrained: where that may not be.
    """
    networks, missing = [], []
    for labels in ("true", "permuted"):
        for number in range(count):
            own = stream_of(seed, labels, number)
            samples = data if labels == "true" else data.with_labels(permuted(data.labels, own).labels)
            model, key, there = untrained(recipe, samples, own)
            networks.append(Network(in_evaluation_mode(model), labels))
            missing += [] if there else [key]
    if missing and not recipe.may_train:
        raise NotTrained(f"{len(missing)} of {len(networks)}")
    planning = settings.current().planning
    return tuple(networks), sum(planning is not None and planning.is_first(key) for key in missing)


def _handed_over(models: Any) -> tuple[Network, ...]:
    if not isinstance(models, TrueAndPermuted):
        raise TypeError(f"models must be TrueAndPermuted(true=[…], permuted=[…]), not {shown(models)}")
    for labels in ("true", "permuted"):
        distinct(tuple(getattr(models, labels)), labels)
    kinds = [(labels, model) for labels in ("true", "permuted") for model in getattr(models, labels)]
    return tuple(Network(model, labels) for labels, model in kinds)


def _excuse(error: Exception) -> Finding:
    if isinstance(error, NotTrained):
        sentence = (
            f"the profile 'smoke' trains no networks, and not all of them are cached ({error}); run the profile "
            f"'ci' once to train them"
        )
        return Finding("smoke", "inconclusive", sentence)
    return Finding("budget", "inconclusive", str(error))


def _unmade(
    explainer: Any, make_model: Any, name: str | None, given: settings.Settings, finding: Finding
) -> Verdict:
    return Verdict(
        check="data_sensitivity",
        explainer=name or name_of(explainer),
        model=name_of(make_model),
        claim=CLAIM,
        seed=given.seed,
        findings=(finding,),
    )


# The verdict.


def _verdict(account: Compared, networks: tuple[Network, ...]) -> Verdict:
    plain = verdict_of(account, "data_sensitivity", CLAIM)
    return replace(
        plain,
        hint=_hint(account, plain),
        notes=(*plain.notes, *_notes(networks)),
        caveats=(*_scope(account, networks), *plain.caveats),
        evidence={**plain.evidence, **_evidence(account, networks)},
    )


def _scope(account: Compared, networks: tuple[Network, ...]) -> tuple[str, ...]:
    if account.found is None or account.found.crossed:
        return ()
    return (f"for these {len(networks)} networks",)


def _notes(networks: tuple[Network, ...]) -> tuple[str, ...]:
    if all(trained.accuracy is None for trained in networks):
        return (
            "the networks were passed in already trained: it was not checked that they have memorized "
            "permuted labels",
        )
    return ()


def _hint(account: Compared, verdict: Verdict) -> str:
    if hint := hint_of_gate(account.subject.model, verdict.findings):
        return hint
    if verdict.reason == "bound" and account.begun is not None and account.begun.one_sided:
        return hint_of_open_question(account.subject, one_sided=True)
    if verdict.outcome != "fail" or verdict.findings or account.first is None:
        return ""
    return hint_of_data_blindness(account.subject, account.first, verdict.stages[0].statistic)


def _evidence(account: Compared, networks: tuple[Network, ...]) -> dict[str, Any]:
    reached = [
        {**trained.facts(), "accuracy_on_inputs": accuracy}
        for trained, accuracy in zip(networks, account.accuracies, strict=False)
    ]
    found = account.found
    figures = {name: found.figure(name) for name in account.similarities} if found else {}
    table = {"similarities": {"signed_spearman": found.table(), **figures}} if found else {}
    return {"networks": reached or [trained.facts() for trained in networks], **table}
