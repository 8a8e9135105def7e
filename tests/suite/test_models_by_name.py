"""Models by name, with the weights of files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.outputs import read_logits
from pytest_saliency_sanity.suite.command_line import Flags, load
from pytest_saliency_sanity.suite.inputs_from_files import read_inputs
from pytest_saliency_sanity.suite.models_by_name import UNKNOWN, UNTOLD, model_named, with_weights


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
    "no module": (f"{__name__}:IMAGE", "must be a torch.nn.Module or build one"),
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


@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers"])
def test_a_library_that_is_not_there_is_named_with_what_to_install(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ValueError, match=f"'{library}:some': .*; install it with `pip install {library}`"):
        model_named(f"{library}:some")


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


IMAGE = (torch.rand(3, 40, 52, generator=torch.Generator().manual_seed(2)) * 255).to(torch.uint8)
BY_LIBRARY = ["torchvision:squeezenet1_1", "timm:test_resnet"]


@pytest.mark.parametrize("file", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("name", BY_LIBRARY)
def test_a_librarys_model_takes_the_weights_of_a_file(name: str, file: str, tmp_path: Path) -> None:
    pytest.importorskip(name.partition(":")[0])
    trained = model_named(name).model
    with torch.no_grad():
        for value in trained.parameters():
            value += 1
    save = save_file if file.endswith("safetensors") else torch.save
    save(trained.state_dict(), tmp_path / file)
    found = load(Flags(("explainers:gradient",), name, weights=str(tmp_path / file)))
    own = found.case.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in trained.state_dict().items())
    assert found.notes == (UNTOLD,)  # not that they are random
    assert load(Flags(("explainers:gradient",), name)).notes == (UNKNOWN, UNTOLD)


def test_timms_own_transform_is_applied() -> None:
    timm = pytest.importorskip("timm")
    from torchvision.transforms.functional import to_pil_image

    named = model_named("timm:test_vit")
    config = timm.data.resolve_data_config({}, model=named.model)
    assert config["interpolation"] == "bicubic"  # not everybody's default
    assert named.transform is not None
    expected = timm.data.create_transform(**config)(to_pil_image(IMAGE))
    assert torch.equal(named.transform(IMAGE), expected)
    assert read_logits(named.model, named.transform(IMAGE)[None]).shape == (1, 1000)


NAMES = {0: "cat", 1: "dog", 2: "tench"}


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    """A folder as Hugging Face's hub has them, with a small network and its image processor."""
    transformers = pytest.importorskip("transformers")
    numbers = {name: number for number, name in NAMES.items()}
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=24, patch_size=8,
        id2label=NAMES, label2id=numbers,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    processor = transformers.ViTImageProcessor(
        size={"height": 24, "width": 24}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]
    )
    processor.save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def _pictures(folder: Path) -> None:
    from skimage import io

    values = np.random.default_rng(0)
    for name in NAMES.values():
        (folder / name).mkdir(parents=True)
        for copy in range(4):
            image = values.integers(0, 256, (30, 36, 3), dtype=np.uint8)
            io.imsave(folder / name / f"{copy}.png", image, check_contrast=False)


def test_a_folder_of_transformers_is_a_model_with_its_own_transform_and_classes(
    vit: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers")
    capfd.readouterr()
    named = model_named(f"transformers:{vit}")
    assert capfd.readouterr().err == ""  # no progress bar of theirs
    assert transformers.utils.logging.is_progress_bar_enabled()
    assert (named.categories, named.random) == (("cat", "dog", "tench"), False)
    own = transformers.ViTForImageClassification.from_pretrained(vit).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(vit)
    _pictures(tmp_path / "pictures")
    read = read_inputs(tmp_path / "pictures", named)
    from skimage import io

    first = torch.from_numpy(io.imread(tmp_path / "pictures" / "cat" / "0.png")).movedim(-1, 0)
    expected = processor(first, return_tensors="pt")["pixel_values"]
    assert torch.equal(read.inputs[:1], expected)
    assert read.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images = expected.clone().requires_grad_()
    (slope,) = torch.autograd.grad(own(images).logits[0, 2], images)
    found = gradient(named.model, expected, torch.tensor([2]))
    assert isinstance(found, Tensor)
    assert torch.allclose(found, slope, atol=1e-6 * float(slope.abs().max()))


def test_such_a_folder_is_checked_without_code(vit: Path, pytester: pytest.Pytester) -> None:
    _pictures(pytester.path / "pictures")
    result = pytester.runpytest(
        "--saliency-explainer", "explainers:gradient", "--saliency-model", f"transformers:{vit}", "-v",
        "--saliency-inputs", "pictures", "-k", "contract or consistency", "-p", "no:cacheprovider",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    shown = result.stdout.str()
    assert "ViTForImageClassification" in shown
    assert "weights are random" not in shown


def test_a_folder_without_a_classifier_has_random_weights(vit: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.ViTModel.from_pretrained(vit, add_pooling_layer=False).save_pretrained(vit)
    assert load(Flags(("explainers:gradient",), f"transformers:{vit}")).notes[0] == UNKNOWN


def test_a_folder_without_a_processor_needs_a_transform(vit: Path, tmp_path: Path) -> None:
    (vit / "preprocessor_config.json").unlink()
    named = model_named(f"transformers:{vit}")
    _pictures(tmp_path / "pictures")
    with pytest.raises(ValueError, match="nobody says how images become inputs of this model; pass"):
        read_inputs(tmp_path / "pictures", named)
    read = read_inputs(tmp_path / "pictures", named, '{"resize": [24, 24]}')
    assert read_logits(named.model, read.inputs).shape == (12, 3)


def test_weights_of_a_file_replace_those_of_a_folder(vit: Path, tmp_path: Path) -> None:
    named = model_named(f"transformers:{vit}")
    state = {name: value + 1 for name, value in named.model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    found = with_weights(named, tmp_path / "w.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in found.model.state_dict().items())
