"""Flags in place of code: models, weights, inputs, ids, replay lines, and what is refused."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_saliency_sanity.plugin.reporting.reporter import RANDOM
from pytest_saliency_sanity.suite.command_line import Flags, load
from pytest_saliency_sanity.suite.inputs_from_files import read_inputs
from pytest_saliency_sanity.suite.models_by_name import UNKNOWN, NamedModel, model_named

NETWORK = """
    import torch
    from torch import nn

    def network(width=8):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 64, 5),
        )

    built = network()

    def images():
        return torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
"""


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with a module, and a file of inputs."""
    pytester.makepyfile(networks=NETWORK)
    pytester.syspathinsert()
    inputs = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    np.savez(pytester.path / "inputs.npz", inputs=inputs.numpy())
    return pytester


FLAGS = ("--saliency-model", "networks:network", "--saliency-inputs", "inputs.npz")


def lines(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("saliency::")]


def test_each_check_is_an_item_with_an_id(folder: pytest.Pytester) -> None:
    folder.makepyfile(test_other="def test_other(): pass")
    both = (
        "--saliency-explainer",
        "explainers:gradient",
        "--saliency-explainer",
        'explainers:smoothgrad{"samples": 3}',
    )
    result = folder.runpytest(*both, *FLAGS, "-k", "consistency or contract or localization", "-v")
    assert sorted(line.rsplit(maxsplit=2)[0].split(" ")[0] for line in lines(result)) == [
        f"saliency::explainers:{name}::{check}"
        for name in ("gradient", "smoothgrad")
        for check in ("consistency", "contract", "localization")
    ]
    result.assert_outcomes(passed=4, skipped=2)
    assert "test_other" not in result.stdout.str()


def test_named_paths_run_beside_them(folder: pytest.Pytester) -> None:
    folder.makepyfile(test_other="def test_other(): pass")
    result = folder.runpytest(
        "--saliency-explainer", "explainers:gradient", *FLAGS, "-k", "contract or other", "test_other.py"
    )
    result.assert_outcomes(passed=2)


def test_a_failure_says_how_it_is_replayed_and_the_line_does_so(folder: pytest.Pytester) -> None:
    flags = (
        "--saliency-explainer",
        'explainers:noisy_sobel{"noise": 0.1}',
        *FLAGS,
        "-k",
        "model_sensitivity",
    )
    first = folder.runpytest(*flags)
    first.assert_outcomes(failed=1)
    # On CI, pytest's summary prints a message in full once more.
    (replay,) = set(re.findall(r"^replay: (.*)$", first.stdout.str(), re.M))
    words = shlex.split(replay)
    assert words[:2] == ["pytest", "--saliency-explainer"]
    again = folder.runpytest(*words[1:])
    again.assert_outcomes(failed=1)
    told = [[line for line in run.outlines if line.startswith("FAIL ")] for run in (first, again)]
    assert told[0] == told[1] != []


@pytest.mark.extended
def test_the_same_under_xdist(folder: pytest.Pytester) -> None:
    flags = ("--saliency-explainer", "explainers:sobel", *FLAGS)
    one, two = folder.runpytest(*flags), folder.runpytest_subprocess(*flags, "-n", "2")
    assert one.ret == two.ret == pytest.ExitCode.TESTS_FAILED
    ends = [
        [line for line in run.outlines if line.startswith(("saliency sanity:", "FAIL "))]
        for run in (one, two)
    ]
    assert ends[0] == ends[1]


@pytest.mark.extended
def test_the_line_of_the_manual_in_an_empty_folder(pytester: pytest.Pytester) -> None:
    pytest.importorskip("captum")
    line = "--saliency-explainer captum:InputXGradient --saliency-model torchvision:resnet18"
    result = pytester.runpytest_subprocess(*line.split(), "-v")
    outcomes = {one.split(" ")[0].split("::")[-1]: one.split()[1] for one in lines(result)}
    assert outcomes["contract"] == outcomes["model_sensitivity"] == outcomes["target_sensitivity"] == "PASSED"
    assert {name for name, outcome in outcomes.items() if outcome == "SKIPPED"} == {
        "data_sensitivity", "localization", "occlusion_sensitivity", "insertion_deletion",
    }  # fmt: skip
    assert result.ret == pytest.ExitCode.OK
    assert "the model's weights are random" in result.stdout.str()


REFUSED = {
    "no explainer": (
        ["--saliency-model", "torchvision:resnet18"],
        "--saliency-model needs --saliency-explainer",
    ),
    "no model": (["--saliency-explainer", "captum:Saliency"], "--saliency-explainer needs --saliency-model"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_flags_that_miss_one_another_are_refused(pytester: pytest.Pytester, kind: str) -> None:
    arguments, words = REFUSED[kind]
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}*"])


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--saliency-model", "networks:netwrk"], "*netwrk*"),
        (["--saliency-model", "nowhere:network"], "*No module named 'nowhere'*"),
        ([*FLAGS[:2], "--saliency-inputs", "none.npz"], "*none.npz*"),
    ],
)
def test_what_cannot_be_loaded_is_one_usage_error(
    folder: pytest.Pytester, flags: list[str], words: str
) -> None:
    result = folder.runpytest("--saliency-explainer", "explainers:gradient", *flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --saliency-model, --saliency-weights, --saliency-inputs: {words}"])


def test_a_module_beside_what_was_typed_is_found(pytester: pytest.Pytester) -> None:
    """Though `pytest`, unlike `python -m pytest`, does not put the folder on the path."""
    pytester.makepyfile(networks=NETWORK)
    inputs = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    np.savez(pytester.path / "inputs.npz", inputs=inputs.numpy())
    program = str(Path(sys.executable).with_name("pytest"))
    done = pytester.run(program, "--saliency-explainer", "explainers:gradient", *FLAGS, "-k", "contract")
    done.assert_outcomes(passed=1, deselected=8)


def test_random_weights_are_told_at_the_end(folder: pytest.Pytester) -> None:
    flags = ["--saliency-explainer", "explainers:gradient", "--saliency-model", "torchvision:squeezenet1_0"]
    result = folder.runpytest(*flags, "-k", "contract")
    result.stdout.fnmatch_lines(
        ["1 on a model whose weights are random: a pass says little; --saliency-weights *"]
    )
    assert UNKNOWN.startswith(RANDOM)


def test_what_is_missing_is_told_by_the_flag_that_gives_it(folder: pytest.Pytester) -> None:
    """Whoever writes no code has no fixture and no case."""
    flags = ("--saliency-explainer", "explainers:sobel", "--saliency-model", "torchvision:squeezenet1_0")
    result = folder.runpytest(*flags, "-k", "consist or data_sens or local or occlusion or parity", "-rs")
    told = result.stdout.str()
    for sentence in (
        "data_sensitivity needs make_model and train_set, which no flag gives: write a test with assert_data_sensitive",
        "localization needs regions, which no flag gives: write a test with assert_localized",
        "parity needs reference, which no flag gives: write a test with assert_parity",
        "occlusion_sensitivity needs --saliency-inputs: the four photographs that stand in are too few for it",
        "1 on stand-in photographs: --saliency-inputs gives others",
    ):
        assert sentence in told, sentence
    assert "fixture" not in told and "the case" not in told


def test_an_explainer_that_is_not_there_is_an_error_with_the_choices(folder: pytest.Pytester) -> None:
    result = folder.runpytest("--saliency-explainer", "explainers:gradeint", *FLAGS, "-k", "contract")
    result.assert_outcomes(failed=1)
    assert "has no 'gradeint'; did you mean gradient" in " ".join(result.stdout.str().split())


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


WEIGHTS = {
    "safetensors": lambda state, path: save_file(state, path / "w.safetensors") or path / "w.safetensors",
    "a state dict": lambda state, path: torch.save(state, path / "w.pt") or path / "w.pt",
    "under a key": lambda state, path: (
        torch.save({"state_dict": state, "epoch": 3}, path / "w.pt") or path / "w.pt"
    ),
    "of a wrapped model": lambda state, path: (
        torch.save({f"module.{name}": value for name, value in state.items()}, path / "w.pt") or path / "w.pt"
    ),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = _network().state_dict()
    named = model_named(f"{__name__}:_network", WEIGHTS[kind](state, tmp_path))
    assert all(torch.equal(value, state[name]) for name, value in named.model.state_dict().items())
    assert not named.random
    assert not named.model.training


def test_random_weights_are_the_same_in_each_process_and_leave_the_generator_alone() -> None:
    pytest.importorskip("torchvision")
    state = torch.get_rng_state()
    one, two = (model_named("torchvision:squeezenet1_1") for _ in range(2))
    assert all(map(torch.equal, one.model.parameters(), two.model.parameters()))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.random
    assert len(one.categories) == 1000


BAD_MODELS = {
    "no colon": ("resnet18", "must be written as LIBRARY:NAME or package.module:name"),
    "an unknown name": ("torchvision:resnet81", "did you mean resnet18"),
    "an unknown module": ("no_such_module:net", "No module named 'no_such_module'"),
    "an unknown attribute": ("torch.nn:Linaer", "did you mean Linear"),
    "no module": (f"{__name__}:NETWORK", "must be a torch.nn.Module or build one"),
    "no folder": (
        "transformers:no/such/folder",
        "there is no folder 'no/such/folder'; nothing is downloaded",
    ),
    "no json": (f"{__name__}:_network{{width}}", "must be a JSON object"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_model_that_cannot_be_had_is_refused(kind: str) -> None:
    text, words = BAD_MODELS[kind]
    with pytest.raises(ValueError) as raised:
        model_named(text)
    assert words in str(raised.value)


BAD_WEIGHTS: dict[str, tuple[Any, str]] = {
    "of another model": (
        {"0.weight": torch.zeros(3)},
        "2 values are missing (1.bias, 1.weight), 1 are not of the model",
    ),
    "of another shape": (
        {"1.weight": torch.zeros(3, 4), "1.bias": torch.zeros(3)},
        "does not fit Sequential: size mismatch",
    ),
    "no state dict": (torch.zeros(3), "must be a state dict, names to tensors"),
    "code": (pytest.ExitCode.OK, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(kind: str, tmp_path: Path) -> None:
    content, words = BAD_WEIGHTS[kind]
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError) as raised:
        model_named(f"{__name__}:_network", tmp_path / "w.pt")
    assert words in str(raised.value)


IMAGES = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0])
FILES = {
    "inputs.npz": lambda path: np.savez(path, inputs=IMAGES.numpy(), labels=LABELS.numpy()),
    "inputs.pt": lambda path: torch.save({"x": IMAGES, "y": LABELS}, path),
    "inputs.safetensors": lambda path: save_file({"inputs": IMAGES, "labels": LABELS}, path),
    "alone.pt": lambda path: torch.save(IMAGES, path),
}


@pytest.mark.parametrize("file", FILES)
def test_inputs_are_those_of_the_file(file: str, tmp_path: Path) -> None:
    FILES[file](tmp_path / file)
    read = read_inputs(tmp_path / file, NamedModel(_network()))
    assert torch.equal(read.inputs, IMAGES)
    assert read.labels is None if file == "alone.pt" else torch.equal(read.labels, LABELS)


def _pictures(folder: Path, names: list[str]) -> None:
    from skimage import io

    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for copy in range(2):
            value = np.full((6, 8, 3), 40 * number + 10 * copy, dtype=np.uint8)
            io.imsave(folder / name / f"{copy}.png", value, check_contrast=False)


FOLDERS = {
    "numbers": (["2", "0"], (), [0, 0, 2, 2]),
    "classes": (["tench", "cat"], ("cat", "dog", "tench"), [0, 0, 2, 2]),
    "as many as classes": (["b", "c", "a"], (), [0, 0, 1, 1, 2, 2]),
    "others": (["left", "right"], (), None),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_images_has_labels_by_its_subfolders(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    names, categories, labels = FOLDERS[kind]
    _pictures(tmp_path, names)
    transform = '{"resize": [2, 2], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}'
    read = read_inputs(tmp_path, NamedModel(_network(), categories=categories), transform)
    assert read.inputs.shape == (2 * len(names), 3, 2, 2)
    order = sorted(range(len(names)), key=lambda number: names[number])
    values = [(40 * number + 10 * copy) / 127.5 - 1 for number in order for copy in range(2)]
    assert torch.allclose(
        read.inputs, torch.tensor(values)[:, None, None, None].expand_as(read.inputs), atol=1e-3
    )
    assert labels == (None if read.labels is None else read.labels.tolist())
    assert bool(read.note) == (labels is None)


def test_images_are_transformed_as_the_models_library_says(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision").models
    _pictures(tmp_path, ["0", "1"])
    named = model_named("torchvision:squeezenet1_1")
    read = read_inputs(tmp_path, named)
    image = torch.zeros(3, 6, 8, dtype=torch.uint8)
    expected = models.SqueezeNet1_1_Weights.DEFAULT.transforms()(image)
    assert torch.equal(read.inputs[0], expected)


BAD_INPUTS = {
    "nothing": ("missing", None, "there is no file or folder"),
    "an empty folder": (".", None, "there is no image in"),
    "no array": ("a.npz", None, "has no array 'inputs'; it has first, second"),
    "another file": ("a.txt", None, "must be a folder of images or a file .npz, .pt, .pth or .safetensors"),
    "a folder that nobody transforms": ("pictures", None, "pass --saliency-transform with JSON such as"),
    "a transform that is none": (
        "pictures",
        '{"scale": 3}',
        "must be a JSON object of resize, crop, mean and std",
    ),
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_inputs_that_cannot_be_read_are_refused(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    name, transform, words = BAD_INPUTS[kind]
    if name == "pictures":
        _pictures(tmp_path / name, ["0"])
    elif name != ".":
        np.savez(tmp_path / "a.npz", first=np.zeros(3), second=np.zeros(3))
        (tmp_path / "a.txt").write_text("text")
    known = None if name == "pictures" else (lambda image: image)
    with pytest.raises(ValueError) as raised:
        read_inputs(tmp_path / name, NamedModel(_network(), known), transform)
    assert words in str(raised.value)


def test_what_is_not_known_of_the_model_is_said(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    found = load(Flags(("explainers:gradient",), "torchvision:squeezenet1_1"))
    assert "the model's weights are random" in found.notes[0]
    assert "nothing is known of the model's accuracy" in found.notes[1]
    torch.save({"x": IMAGES, "y": LABELS}, tmp_path / "x.pt")
    assert load(Flags(("explainers:gradient",), f"{__name__}:_network", str(tmp_path / "x.pt"))).notes == ()
