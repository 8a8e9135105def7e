"""`audit(executor=)` on processes: pools of the standard library, of loky and of dask; and a worker that is killed."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import Audit, Case, audit, explainers, settings
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.sensitivity import control_audit, own_control
from tests.suite import elsewhere
from tests.suite.audits import CHECKS, EXPLAINERS, same

MORE = [*CHECKS, "model_sensitivity", "consistency", "insertion_deletion"]
pytestmark = [pytest.mark.extended, pytest.mark.usefixtures("anew")]


@pytest.fixture(scope="module")
def spawned() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def test_two_processes_reach_the_verdicts_of_one(
    case: Case, serial: Audit, spawned: ProcessPoolExecutor
) -> None:
    found = audit(EXPLAINERS, case, CHECKS, progress=False, executor=spawned)
    assert same(found, serial)
    assert {one.outcome for one in found} == {"pass", "fail", "skipped", "error", "refused"}


def test_all_kinds_of_checks(case: Case, spawned: ProcessPoolExecutor) -> None:
    one = replace(case, labels=torch.arange(16) % 5, regions=torch.tensor([[1, 1, 4, 4]] * 16))
    found = audit(EXPLAINERS, one, executor=spawned, progress=False)
    assert same(found, audit(EXPLAINERS, one, progress=False))
    assert len(found) > 60


def test_a_worker_that_is_killed_in_the_middle(case: Case, tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    both = {
        "killed": functools.partial(elsewhere.killed_once, flag=str(flag), sender=os.getpid()),
        "sobel": explainers.sobel,
    }
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        pytest.warns(
            RuntimeWarning, match=r"executor= is broken \(BrokenProcessPool: .*\): \d+ of 12 checks are done"
        ),
    ):
        found = audit(both, case, MORE, progress=False, executor=pool)
    assert flag.exists()
    assert same(found, audit(both, case, MORE, progress=False))


def test_controls_are_made_once_by_both(case: Case) -> None:
    """Two processes at the same time, each with another explainer, which takes the control of the same check."""
    both = {"ixg": explainers.input_x_gradient, "smooth": EXPLAINERS["noisy"]}

    def controls(found: Audit) -> int:
        return sum(one.verdict.evidence["control_cost"]["images"] for one in found if one.verdict)

    control_audit._SURVEYS = control_audit.ControlSurveys()
    alone = audit(both, case, "target_sensitivity", progress=False)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = audit(both, case, "target_sensitivity", progress=False, executor=pool)
    assert same(found, alone)
    compared = own_control.IMAGES  # which tell each process that an explainer is no plain gradient
    assert 0 < controls(alone) <= controls(found) <= controls(alone) + compared


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_forked_servers(case: Case, serial: Audit, count: int) -> None:
    with ProcessPoolExecutor(count, mp_context=get_context("forkserver")) as pool:
        assert same(audit(EXPLAINERS, case, CHECKS, progress=False, executor=pool), serial)


def test_networks_that_are_trained_are_shared(spawned: ProcessPoolExecutor, tmp_path: Path) -> None:
    drawn = torch.Generator().manual_seed(0)
    images, labels = torch.rand(48, 1, 8, 8, generator=drawn), torch.arange(48) % 3
    images[torch.arange(48), 0, labels] += 1.0
    case = Case(make_model=perceptron, train_set=(images, labels), inputs=images[:16])
    both = {"grad": gradient, "ixg": explainers.input_x_gradient}
    with settings.using(settings.Settings(cache=tmp_path / "one")):
        alone = audit(both, case, "data_sensitivity", progress=False)
    with settings.using(settings.Settings(cache=tmp_path / "many")):
        found = audit(both, case, "data_sensitivity", progress=False, executor=spawned)
    assert same(found, alone)
    assert len(list((tmp_path / "many").rglob("*.safetensors"))) == len(
        list((tmp_path / "one").rglob("*.safetensors"))
    )


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))


def test_loky(case: Case, serial: Audit) -> None:
    loky = pytest.importorskip("joblib.externals.loky", reason="joblib, which has loky, is not installed")
    pool = loky.get_reusable_executor(2)
    try:
        assert same(audit(EXPLAINERS, case, CHECKS, progress=False, executor=pool), serial)
    finally:
        pool.shutdown(kill_workers=True)


def test_torch_has_as_many_threads_there_as_here(case: Case, spawned: ProcessPoolExecutor) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = audit({"it": elsewhere.of_threads}, case, "contract", progress=False, executor=spawned)
    finally:
        torch.set_num_threads(before)
    assert "3 threads, torch.float32" in found.results[0].verdict.summary


# dask.


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of a cluster of two processes on this machine, each with one thread."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_dask(case: Case, serial: Audit, client: Any) -> None:
    assert same(audit(EXPLAINERS, case, CHECKS, progress=False, executor=client.get_executor()), serial)


def test_a_worker_of_dask_that_is_killed_in_the_middle(case: Case, client: Any, tmp_path: Path) -> None:
    """Dask starts another one, which does it again."""
    flag = tmp_path / "killed"
    both = {
        "killed": functools.partial(elsewhere.killed_once, flag=str(flag), sender=os.getpid()),
        "sobel": explainers.sobel,
    }
    found = audit(both, case, MORE, progress=False, executor=client.get_executor())
    assert flag.exists()
    assert same(found, audit(both, case, MORE, progress=False))


def test_threads_of_dask_are_refused(case: Case) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(TypeError, match="must not be one of threads"),
    ):
        audit({"grad": gradient}, case, progress=False, executor=client.get_executor())
