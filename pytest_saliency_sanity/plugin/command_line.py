"""Tests without code: `pytest --saliency-explainer captum:Saliency --saliency-model torchvision:resnet18`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.plugin import worker_output

if TYPE_CHECKING:
    from pytest_saliency_sanity.suite.command_line import Flags, Loaded
    from pytest_saliency_sanity.suite.parametrization import SanityCheck

PREFIX = "saliency"
_FLAGS = {
    "explainer": "an explainer to check, without a test: LIBRARY:NAME (captum, zennit, grad-cam, torchcam, shap, "
    "quantus, explainers) or package.module:name, with options in JSON behind it; may be repeated",
    "model": "the model that --saliency-explainer explains: torchvision:NAME, timm:NAME, transformers:FOLDER or "
    "package.module:name, with options in JSON behind it",
    "inputs": "the inputs of --saliency-model: a folder of images (subfolders are labels), or a file .npz, .pt or "
    ".safetensors with inputs, labels and targets (default: photographs of scikit-image)",
    "weights": "the weights of --saliency-model: a state dict, .safetensors or .pt",
    "transform": "how images of --saliency-inputs become inputs, as JSON of resize, crop, mean and std (default: as "
    "the model's library does)",
}
_METAVARS = {"explainer": "NAME", "model": "NAME", "transform": "JSON"}
_LOADED: pytest.StashKey[Loaded] = pytest.StashKey()
_GIVEN: pytest.StashKey[Flags] = pytest.StashKey()


def add(parser: pytest.Parser) -> None:
    """Register the flags."""
    group = parser.getgroup("saliency-sanity")
    for name, words in _FLAGS.items():
        action = "append" if name == "explainer" else "store"
        group.addoption(f"--saliency-{name}", action=action, metavar=_METAVARS.get(name, "FILE"), help=words)


def configure(config: pytest.Config) -> None:
    """Read the flags; where no path was typed, nothing else is collected.

    Raises:
        pytest.UsageError: for flags that miss one another.
    """
    given: dict[str, Any] = {name: config.getoption(f"saliency_{name}") for name in _FLAGS}
    if not given["explainer"]:
        alone = [name for name in ("model", "inputs", "weights", "transform") if given[name] is not None]
        if alone:
            raise pytest.UsageError(f"--saliency-{alone[0]} needs --saliency-explainer: what is checked?")
        return
    if given["model"] is None:
        raise pytest.UsageError("--saliency-explainer needs --saliency-model, e.g. torchvision:resnet18")
    from pytest_saliency_sanity.suite.command_line import Flags

    config.stash[_GIVEN] = Flags(
        tuple(given["explainer"]), given["model"], given["inputs"], given["weights"], given["transform"]
    )
    here = str(config.invocation_params.dir)
    if here not in sys.path:  # `net:Net` is found beside what was typed, as with `python -m pytest`
        sys.path.insert(0, here)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


def items(session: pytest.Session) -> list[pytest.Item]:
    """An item for each explainer and check; none where the flags are not given."""
    flags = session.config.stash.get(_GIVEN, None)
    if flags is None:
        return []
    _check_that_it_loads(session.config)
    from pytest_saliency_sanity.suite.choices import ALL
    from pytest_saliency_sanity.suite.claims import asked_of
    from pytest_saliency_sanity.suite.parametrization import SanityCheck, marks_of

    found: list[pytest.Item] = []
    asked = asked_of(flags.names, ALL)
    for name, text in flags.names.items():
        for check in asked[name]:
            item = CommandLineItem.from_parent(
                session, name=f"{name}::{check.name}", nodeid=f"{PREFIX}::{name}::{check.name}",
                explainer=text, sanity_check=SanityCheck(check, name),
            )  # fmt: skip
            for mark in marks_of(check):
                item.add_marker(mark)
            found.append(item)
    report = pytest.CollectReport(PREFIX, "passed", None, [*found])
    session.ihook.pytest_collectreport(report=report)  # who counts what was collected counts these as well
    return found


class CommandLineItem(pytest.Item):
    """One check of one explainer that flags name."""

    def __init__(self, *, explainer: str, sanity_check: SanityCheck, **given: Any) -> None:
        super().__init__(**given)
        self.explainer, self.sanity_check = explainer, sanity_check

    def runtest(self) -> None:
        """Ask the check; the model and the inputs are loaded once in a process."""
        __tracebackhide__ = True
        from pytest_saliency_sanity.suite.command_line import why_not

        loaded = _loaded(self.config)
        try:
            if reason := why_not(self.sanity_check.check, loaded.case):
                pytest.skip(reason)
            with settings.using(replace(settings.current(), notes=loaded.notes)):
                self.sanity_check(self.explainer, loaded.case)
        except pytest.skip.Exception as skipped:
            raise pytest.skip.Exception(skipped.msg, _use_item_location=True) from None

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict's message alone: there is no code of the user's to show."""
        if isinstance(excinfo.value, (AssertionError, ValueError, TypeError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int, str]:
        """There is no file: the id says it all."""
        return PREFIX, 0, self.nodeid


def is_of_flags(nodeid: str) -> bool:
    """Whether a test is one that flags name."""
    return nodeid.startswith(f"{PREFIX}::")


def replayed_flags(config: pytest.Config) -> Iterator[str]:
    """The flags as they have to be typed again, each with its value."""
    flags = config.stash.get(_GIVEN, None)
    if flags is None:
        return
    yield from (f"--saliency-explainer {shlex.quote(text)}" for text in flags.explainers)
    for name in ("model", "inputs", "weights", "transform"):
        value = getattr(flags, name)
        if value is not None:
            yield f"--saliency-{name} {shlex.quote(value)}"


def _check_that_it_loads(config: pytest.Config) -> None:
    """One usage error instead of a failure of each item; a worker loads what it needs anyway, the controller nothing.

    Raises:
        pytest.UsageError: for an explainer, a model, weights or inputs that cannot be had.
    """
    if config.option.collectonly:
        return
    try:
        _loaded(config)
    except ValueError as error:
        worker_output.refuse_run(config, str(error))


def _loaded(config: pytest.Config) -> Loaded:
    if _LOADED not in config.stash:
        from pytest_saliency_sanity.suite.command_line import load

        config.stash[_LOADED] = load(config.stash[_GIVEN])
    return config.stash[_LOADED]
