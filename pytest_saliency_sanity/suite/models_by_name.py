"""Models by name, as they stand on a command line: `torchvision:resnet18`, `timm:NAME`, `package.module:name`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters import UnusableExplainer
from pytest_saliency_sanity.adapters.names import attribute, imported, parted
from pytest_saliency_sanity.text import shown

Transform = Callable[[Tensor], Tensor]
UNKNOWN = (
    "the model's weights are random: a fail says that the explainer ignores the model, a pass says no more than that "
    "it does not; whether it points at what a trained model uses has to be asked of one (--saliency-weights)"
)
UNTOLD = (
    "nothing is known of the model's accuracy: labels (folder names, or an array `labels`) would tell whether it is "
    "worth explaining"
)


@dataclass(frozen=True)
class NamedModel:
    """A model, and what its library knows of it.

    Attributes:
        model: in evaluation mode.
        transform: from an image (3, H, W) of uint8 to what the model takes; None where nobody says.
        categories: the names of its classes; empty where nobody says.
        random: whether its weights are random.
    """

    model: nn.Module
    transform: Transform | None = None
    categories: tuple[str, ...] = ()
    random: bool = True


def model_named(text: str, weights: str | Path | None = None) -> NamedModel:
    """The model that `text` names, with the weights of a file.

    Args:
        text: `torchvision:NAME`, `timm:NAME`, `transformers:FOLDER` or `package.module:name` (a module, or a function
            or a class that builds one), with options in JSON behind it.
        weights: a file of safetensors, or one that `torch.load(weights_only=True)` reads.

    Raises:
        ValueError: for what cannot be found or built, in one sentence.
    """
    try:
        found = _built(text)
    except UnusableExplainer as error:  # it is about names, of explainers as of models
        raise ValueError(str(error)) from error
    found = found if weights is None else with_weights(found, weights)
    found.model.eval()
    return found


def _built(text: str) -> NamedModel:
    prefix, rest, options = parted(text, "the model", _LIBRARIES)
    with torch.random.fork_rng():  # the same random weights in each process
        torch.manual_seed(0)
        if prefix in _LIBRARIES:
            return _LIBRARIES[prefix](rest, options)
        return _imported(prefix, rest, options, text)


def with_weights(named: NamedModel, path: str | Path) -> NamedModel:
    """The model, with the weights of a file.

    Raises:
        ValueError: see `load_weights`.
    """
    load_weights(named.model, path)
    return replace(named, random=False)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a file's state dict into the model.

    Raises:
        ValueError: for a file that cannot be read, and for one that does not fit, naming what is missing and too much.
    """
    state = state_in(read_tensors(path))
    own = set(model.state_dict())
    if not own & set(state):  # as nn.DataParallel and Lightning write them
        for prefix in ("module.", "model."):
            if any(name.startswith(prefix) for name in state):
                state = {name.removeprefix(prefix): value for name, value in state.items()}
                break
    missing, unexpected = sorted(own - set(state)), sorted(set(state) - own)
    if missing or unexpected:
        raise ValueError(
            f"{path} does not fit {type(model).__name__}: {len(missing)} values are missing ({_few(missing)}), "
            f"{len(unexpected)} are not of the model ({_few(unexpected)})"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:  # of another shape
        raise ValueError(
            f"{path} does not fit {type(model).__name__}: {str(error).splitlines()[-1].strip()}"
        ) from None


def read_tensors(path: str | Path) -> Any:
    """What a file of safetensors holds, or one that `torch.load(weights_only=True)` reads.

    Raises:
        ValueError: for a file that cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file {str(path)!r}")
    try:
        if str(path).endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error


def state_in(found: Any) -> dict[str, Tensor]:
    """The state dict in what was read: itself, or under "state_dict", "model" or "model_state_dict".

    Raises:
        ValueError: where there is none.
    """
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"weights must be a state dict, names to tensors, not {shown(found)}")
    return dict(found)


def _of_torchvision(name: str, options: dict[str, Any]) -> NamedModel:
    models = imported("torchvision.models", f"torchvision:{name}")
    try:
        model = models.get_model(name, **{"weights": None, **options})
    except (ValueError, TypeError) as error:
        raise ValueError(f"torchvision:{name}: {error}{_near(name, models.list_models())}") from None
    given = options.get("weights")
    every = models.get_model_weights(name)
    known = every[given] if isinstance(given, str) and given != "DEFAULT" else every.DEFAULT
    categories = tuple(known.meta.get("categories", ()))
    return NamedModel(model, known.transforms(), categories, random=given is None)


def _of_timm(name: str, options: dict[str, Any]) -> NamedModel:
    timm = imported("timm", f"timm:{name}")
    try:
        model = timm.create_model(name, **options)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"timm:{name}: {error}{_near(name, timm.list_models())}") from None
    return NamedModel(model, _as_timm_does(model), random=not options.get("pretrained", False))


def _as_timm_does(model: nn.Module) -> Transform:
    data = importlib.import_module("timm.data")
    to_image = importlib.import_module("torchvision.transforms.functional").to_pil_image
    own: Callable[[Any], Tensor] = data.create_transform(**data.resolve_data_config({}, model=model))
    return lambda image: own(to_image(image))


def _of_transformers(name: str, options: dict[str, Any]) -> NamedModel:
    library = imported("transformers", f"transformers:{name}")
    if not Path(name).is_dir():
        raise ValueError(f"transformers:{name}: there is no folder {name!r}; nothing is downloaded")
    with _without_bars(library):
        model, loaded = library.AutoModelForImageClassification.from_pretrained(
            name, local_files_only=True, output_loading_info=True, **options
        )
    names = getattr(model.config, "id2label", {})
    categories = tuple(str(names[key]) for key in sorted(names))
    # A folder without a classifier gets a random one.
    return NamedModel(model, _processing(library, name), categories, random=bool(loaded["missing_keys"]))


@contextmanager
def _without_bars(library: Any) -> Iterator[None]:
    logging = library.utils.logging
    shown_before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown_before:
            logging.enable_progress_bar()


def _processing(library: Any, folder: str) -> Transform | None:
    """The folder's own image processor as a transform; None where it has none."""
    if not (Path(folder) / "preprocessor_config.json").is_file():
        return None
    processor = library.AutoImageProcessor.from_pretrained(folder, local_files_only=True)

    def transform(image: Tensor) -> Tensor:
        found: Tensor = processor(image, return_tensors="pt")["pixel_values"][0]
        return found

    return transform


_LIBRARIES: Mapping[str, Callable[[str, dict[str, Any]], NamedModel]] = {
    "torchvision": _of_torchvision,
    "timm": _of_timm,
    "transformers": _of_transformers,
}


def _imported(module: str, path: str, options: dict[str, Any], text: str) -> NamedModel:
    found = attribute(module, path, text)
    if callable(found) and not isinstance(found, nn.Module):
        found = found(**options)
    elif options:
        raise ValueError(f"{shown(text)} is a model that is built already, and takes no options")
    if not isinstance(found, nn.Module):
        raise ValueError(f"{shown(text)} must be a torch.nn.Module or build one, not {shown(found)}")
    return NamedModel(found, random=False)


def resized(
    resize: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    mean: Any = (0.0, 0.0, 0.0),
    std: Any = (1.0, 1.0, 1.0),
) -> Transform:
    """A transform of an image (3, H, W) of uint8: its shorter side, the center, to 0 … 1, normalized."""
    transforms = importlib.import_module("torchvision.transforms.v2")
    steps = [
        *([transforms.Resize(resize, antialias=True)] if resize else []),
        *([transforms.CenterCrop(crop)] if crop else []),
        transforms.ToDtype(torch.float32, scale=True),
        transforms.Normalize(list(mean), list(std)),
    ]
    composed: Transform = transforms.Compose(steps)
    return composed


def _near(name: str, choices: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, choices, 3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "") or "none"
