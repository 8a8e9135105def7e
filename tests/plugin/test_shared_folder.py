"""The folder that the workers of a run share: made by a worker, removed by the controller, or by a later run."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import shared_folder
from pytest_saliency_sanity.plugin.shared_folder import SharedFolder, held, sweep


class Node:
    def __init__(self) -> None:
        self.workerinput: dict[str, str] = {}


def named(cache: str | Path) -> tuple[SharedFolder, Path]:
    controller, node = SharedFolder(cache), Node()
    controller.pytest_configure_node(node)
    return controller, Path(*node.workerinput.values())


def test_a_worker_makes_it_and_the_controller_removes_it(tmp_path: Path) -> None:
    controller, folder = named(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    lock = held(folder, "gw0")
    (folder / "something").touch()
    assert (tmp_path / "cache" / "CACHEDIR.TAG").exists()
    lock.release()
    controller.pytest_unconfigure()
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".gitignore", "CACHEDIR.TAG"}


def test_what_a_killed_run_left_is_removed_and_what_is_used_stays(tmp_path: Path) -> None:
    left, used, own = (named(tmp_path)[1] for _ in range(3))
    held(left, "gw0").release()
    held(left, "gw1").release()
    locks = [held(used, "gw0"), held(own, "gw0")]
    sweep(own)
    assert sorted(path.name for path in own.parent.iterdir()) == sorted([used.name, own.name])
    held(used, "gw1").release()  # one of its workers has crashed
    sweep(own)
    assert used.exists()
    for lock in locks:
        lock.release()


def test_without_locks_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lock:
        def __init__(self, path: Path, **_: Any) -> None:
            path.touch()

        def acquire(self, timeout: float = 0) -> None:
            raise OSError(errno.ENOSYS, "no locks")

        def __enter__(self) -> None:
            self.acquire()

        def __exit__(self, *_: Any) -> None: ...

    monkeypatch.setattr("filelock.FileLock", Lock)
    old, young, own = (named(tmp_path)[1] for _ in range(3))
    assert [held(folder, "gw0") for folder in (old, young, own)] == [None] * 3
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    sweep(own)
    assert (old.exists(), young.exists()) == (False, True)


def test_beside_an_object_store_it_is_in_the_temporary_folder() -> None:
    folder = named("s3://bucket/networks")[1]
    assert re.search(r"saliency-sanity-.+[\\/]runs[\\/]\w{32}$", str(folder))
    assert not folder.exists()


def test_alone_there_is_none(pytester: pytest.Pytester) -> None:
    assert shared_folder.of_worker(pytester.parseconfig()) is None


@pytest.mark.extended
def test_runs_without_tests_of_ours_leave_no_trace(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_subprocess("-n2", "--saliency-cache=kept").assert_outcomes(passed=1)
    assert not (pytester.path / "kept").exists()


SHARING = """
    import json
    import time
    from pathlib import Path

    import pytest
    import torch
    from torch import nn

    from pytest_saliency_sanity import check_target_sensitivity, settings
    from pytest_saliency_sanity.explainers import input_x_gradient

    @pytest.fixture
    def saliency_model():
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(), nn.Linear(16, 5)
        return nn.Sequential(*layers).eval()

    @pytest.mark.parametrize("number", [0, 1])
    def test_it(saliency_case, request, number):
        Path(f"{number}.there").touch()
        while len(list(Path().glob("*.there"))) < 2:  # both at once, on two workers
            time.sleep(0.01)
        images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        verdict = check_target_sensitivity(input_x_gradient, saliency_case.model, images)
        place = Path(settings.current().shared)
        facts = verdict.evidence["control_cost"]["images"], verdict.statistic, str(place), place.is_dir()
        Path(f"{number}.json").write_text(json.dumps(facts))
"""


@pytest.mark.extended
def test_of_two_workers_one_makes_the_control(pytester: pytest.Pytester) -> None:
    import json

    pytester.makepyfile(SHARING)
    pytester.runpytest_subprocess("-n2", "--saliency-cache=kept").assert_outcomes(passed=2)
    one, other = (json.loads((pytester.path / f"{number}.json").read_text()) for number in (0, 1))
    assert min(one[0], other[0]) < max(one[0], other[0])
    assert one[1:] == other[1:] and one[3]
    assert not (pytester.path / "kept" / "runs").exists()
