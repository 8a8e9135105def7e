"""What flags say instead of code: explainers and a model by name, inputs from files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_saliency_sanity.adapters import UnusableExplainer, adapted, named
from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.suite.inputs_from_files import read_inputs
from pytest_saliency_sanity.suite.models_by_name import UNKNOWN, UNTOLD, model_named, with_weights


@dataclass(frozen=True)
class Flags:
    """What was said on the command line.

    Attributes:
        explainers: names, as in `adapters.named`.
        model: a name, as in `models_by_name.model_named`.
        inputs: a folder or a file, or None.
        weights: a file, or None.
        transform: JSON, or None.
    """

    explainers: tuple[str, ...]
    model: str
    inputs: str | None = None
    weights: str | None = None
    transform: str | None = None

    @property
    def names(self) -> dict[str, str]:
        """Each explainer by the name that ids call it: without its options, with a number where it is there twice."""
        found: dict[str, str] = {}
        for text in self.explainers:
            name = text.partition("{")[0].strip()
            same = sum(other.partition("{")[0].strip() == name for other in found.values())
            found[f"{name}-{same + 1}" if same else name] = text
        return found


@dataclass(frozen=True)
class Loaded:
    """The case that flags describe, and what a reader of its verdicts must know."""

    case: Case
    notes: tuple[str, ...]


def why_not(check: Check, case: Case) -> str:
    """Why flags do not get a check asked, with the flag that would, or the assertion of a test; "" where they do."""
    missing = [field for field in check.needs if getattr(case, field) is None]
    without = [field for field in missing if field != "inputs"]
    if without:
        return f"{check.name} needs {' and '.join(without)}, which no flag gives: write a test with {check.assertion}"
    if missing:
        return f"{check.name} needs --saliency-inputs: the four photographs that stand in are too few for it"
    return ""


def load(flags: Flags) -> Loaded:
    """The case of the flags; whether each explainer can be had as well.

    Raises:
        ValueError: for what cannot be found, built or read, in one sentence that begins with the flag.
    """
    for text in flags.explainers:
        with _said_of("explainer"):
            adapted(named(text))
    with _said_of("model"):
        model = model_named(flags.model)
    if flags.weights is not None:
        with _said_of("weights"):
            model = with_weights(model, flags.weights)
    random = (UNKNOWN,) if model.random else ()
    if flags.inputs is None:
        return Loaded(Case(model=model.model), (*random, UNTOLD))
    with _said_of("inputs"):
        read = read_inputs(flags.inputs, model, flags.transform)
    told = () if read.labels is not None else (UNTOLD,)
    case = Case(model=model.model, inputs=read.inputs, labels=read.labels, targets=read.targets)
    return Loaded(case, (*random, *told, *([read.note] if read.note else [])))


@contextmanager
def _said_of(flag: str) -> Iterator[None]:
    """Whatever a library or a function of the user's raises is said of its flag, in one line."""
    try:
        yield
    except Exception as error:
        words = " ".join(str(error).split())
        kind = "" if isinstance(error, (ValueError, UnusableExplainer)) else f"{type(error).__name__}: "
        raise ValueError(f"--saliency-{flag}: {kind}{words}") from error
