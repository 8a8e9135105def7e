"""--saliency-cache: where trained networks are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_saliency_sanity.checks.data_sensitivity
import pytest_saliency_sanity.explainers  # noqa: F401
from pytest_saliency_sanity.trained_networks.networks import forget

DIRECTORY = """
    from pathlib import Path
    from pytest_saliency_sanity import settings

    def test_directory():
        assert Path(settings.current().cache) == Path({directory!r})
"""
NONE = """
    from pytest_saliency_sanity import settings

    def test_directory():
        assert settings.current().cache is None
"""
# Without torch.optim, whose first step imports half of torch: seconds for each process, and that cannot be done twice.
PROJECT = """
    from pathlib import Path

    import pytest
    import torch
    from torch import nn

    @pytest.fixture
    def saliency_make_model():
        return lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))

    @pytest.fixture
    def saliency_train_set():
        stream = torch.Generator().manual_seed(0)
        images = torch.rand(60, 1, 8, 8, generator=stream)
        return images, torch.arange(60) % 3

    @pytest.fixture
    def saliency_inputs(saliency_train_set):
        return saliency_train_set[0][:12]

    def train(model, dataset, seed):
        with open("trained.txt", "a") as log:
            log.write(f"{seed}\\n")
        images, labels = dataset.tensors
        parameters = list(model.parameters())
        for _ in range(400):
            loss = nn.functional.cross_entropy(model(images), labels)
            with torch.no_grad():
                for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters)):
                    parameter -= 0.3 * slope
        return model
"""
TESTS = """
    import pytest
    from conftest import train
    from pytest_saliency_sanity.explainers import sobel
    from pytest_saliency_sanity import SanityCheckFailed

    @pytest.mark.parametrize("number", range(4))
    def test_sobel(assert_data_sensitive, number):
        with pytest.raises(SanityCheckFailed):
            assert_data_sensitive(sobel, train=train)
"""


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run that begins without networks in memory, as one in a process of its own does: torch is imported already."""
    forget()
    return project.runpytest_inprocess("--saliency-cache=kept", *arguments)


def trainings(path: Path) -> int:
    return len((path / "trained.txt").read_text().splitlines())


def networks(path: Path) -> list[Path]:
    return sorted(path.glob("*.safetensors"))


@pytest.fixture
def training(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that trains four networks with a trainer of its own, which keeps a log."""
    pytester.makeconftest(PROJECT)
    pytester.makepyfile(test_data=TESTS)
    return pytester


def test_by_default_they_are_in_pytests_cache(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(DIRECTORY.format(directory=str(pytester.path / ".pytest_cache" / "d" / "saliency")))
    pytester.runpytest().assert_outcomes(passed=1)


def test_the_flag_beats_the_file(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\ncache = 'there'")
    pytester.makepyfile(DIRECTORY.format(directory="here"))
    pytester.runpytest("--saliency-cache=here").assert_outcomes(passed=1)


def test_the_files_directory_is_the_projects(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.saliency_sanity]\ncache = 'there'")
    pytester.makepyfile(DIRECTORY.format(directory=str(pytester.path / "there")))
    pytester.mkdir("below")
    pytester.runpytest("--rootdir", str(pytester.path)).assert_outcomes(passed=1)


def test_without_pytests_cache_there_is_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NONE)
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_file_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makefile(".txt", taken="")
    result = pytester.runpytest("--saliency-cache=taken.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = "ERROR: --saliency-cache: cache must be a directory; 'taken.txt' is a file"
    assert [line for line in result.errlines if line] == [sentence]


@pytest.mark.extended
def test_several_workers_train_each_network_once_and_a_second_run_none(training: pytest.Pytester) -> None:
    for workers in ("-n2", "-n0"):
        training.runpytest_subprocess(workers, "--saliency-cache=kept").assert_outcomes(passed=4)
        assert trainings(training.path) == 4
        assert len(networks(training.path / "kept")) == 4
        assert not list((training.path / "kept").glob("*.lock"))


def test_a_damaged_network_is_reported_and_trained_again(training: pytest.Pytester) -> None:
    run(training).assert_outcomes(passed=4)
    damaged = networks(training.path / "kept")[1]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    result = run(training)
    result.assert_outcomes(passed=4, warnings=1)
    result.stdout.fnmatch_lines([f"*TwinCacheWarning: *{damaged.stem}*; the network is trained again*"])
    assert trainings(training.path) == 5
    run(training).assert_outcomes(passed=4)
    assert trainings(training.path) == 5


def test_another_trainer_trains_again(training: pytest.Pytester) -> None:
    run(training).assert_outcomes(passed=4)
    conftest = training.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("range(400)", "range(401)"))
    run(training).assert_outcomes(passed=4)
    assert trainings(training.path) == 8


def test_smoke_uses_what_is_there_and_trains_nothing(training: pytest.Pytester) -> None:
    result = run(training, "--saliency-profile=smoke", "-rs")
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(
        ["SKIPPED*sobel: inconclusive: the profile 'smoke' trains no networks, and not all*"]
    )
    run(training).assert_outcomes(passed=4)
    run(training, "--saliency-profile=smoke").assert_outcomes(passed=4)
    assert trainings(training.path) == 4
