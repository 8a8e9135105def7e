"""Keyword options that checks have in common: the one place for their types and descriptions."""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec, TypedDict

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.observation import observing
from pytest_saliency_sanity.audited.planned import planned_only
from pytest_saliency_sanity.audited.provenance import noting
from pytest_saliency_sanity.outputs import Forward
from pytest_saliency_sanity.plan import Planned
from pytest_saliency_sanity.verdict import Verdict

P = ParamSpec("P")


class OfAnyCheck(TypedDict, total=False):
    """The options of every check."""

    name: str | None
    seed: int | None
    profile: str | None
    forward: Forward | None
    pictures: bool | None


class WithBudget(OfAnyCheck, total=False):
    """The options of a check that may take long."""

    max_seconds: float | None


class WithLabels(WithBudget, total=False):
    """The options of a check that tests whether the model is accurate."""

    labels: Any


class OfStandIns(TypedDict, total=False):
    """The option of a check that uses stand-in photographs if no inputs are given."""

    input_shape: tuple[int, ...] | None


class OfChannels(TypedDict, total=False):
    """The option of a check whose inputs may have their channels on another axis."""

    channel_axis: int | None


class OfTokens(TypedDict, total=False):
    """The option of a check that explains token ids."""

    embed: str | None


class OfContract(OfAnyCheck, OfStandIns, OfChannels, OfTokens, total=False):
    """The options of `check_contract`."""


class OfAxioms(WithBudget, OfStandIns, OfChannels, total=False):
    """The options of the checks of axioms."""


class OfRuns(OfAxioms, OfTokens, total=False):
    """The options of `check_consistency`."""


class OfImages(WithLabels, OfStandIns, total=False):
    """The options of the checks that hide pixels of images."""


class OfNetworks(WithLabels, OfChannels, OfTokens, total=False):
    """The options of `check_data_sensitivity`."""


class Conditions(WithLabels, OfStandIns, OfChannels, OfTokens, total=False):
    """All of them: the options of `check_model_sensitivity` and `check_target_sensitivity`."""


WORDS = {
    "labels": "(N,) int64, the true classes; with them, the model must beat chance. (N, K) of 0 and 1 for several "
    "labels per image. A single output, or one of several labels, is predicted above 0, or above .5 if all outputs "
    "lie in 0 … 1.",
    "name": "the explainer's name in messages.",
    "seed": "seed of everything random: re-initializations, networks, random streams, the choice of images; None "
    "means the run's.",
    "profile": '"smoke" (which trains nothing), "ci" or "release"; None means the run\'s.',
    "max_seconds": "time budget; when it is used up, the verdict is inconclusive. None means the profile's.",
    "forward": "forward(model, inputs) -> logits, for models that return something else.",
    "input_shape": "(C, H, W) of the stand-in photographs.",
    "embed": "the layer whose output (N, L, D) is explained, by its name in `model.named_modules()`, for token "
    "ids; `inputs` are the ids (N, L), or a tuple such as (ids, mask), and maps are (N, L) or (N, L, D).",
    "channel_axis": "the axis of the channels in `inputs` and maps, as in scikit-image: 1 (the same as None), or -1 "
    "for embeddings (N, L, D) and images (N, H, W, C). A map (N, L) for inputs (N, L, D) already implies -1.",
    "pictures": "whether the verdict keeps thumbnails of the maps (`verdict.pictures`), which a notebook shows; None "
    "means the run's.",
}
_PLAIN = (bool, int, float, str)
_PLACE = re.compile(r"^( *)\*\*conditions: .*\n(?:\1 +.*\n)*", re.MULTILINE)


def takes(conditions: type) -> Callable[[Callable[P, Verdict]], Callable[P, Verdict]]:
    """Decorator of a check with `**conditions: Unpack[conditions]`: help() and inspect see each of them.

    Raises (the check, when it is called):
        TypeError: for an option that it does not have, listing those that it has.
    """

    def decorated(check: Callable[P, Verdict]) -> Callable[P, Verdict]:
        signature = _spelled_out(inspect.signature(check), conditions)

        @functools.wraps(check)
        def checked(*args: P.args, **options: P.kwargs) -> Verdict:
            __tracebackhide__ = True
            try:
                bound = signature.bind(*args, **options)
            except TypeError as error:
                names = ", ".join(signature.parameters)
                raise TypeError(f"{check.__name__}: {error}; it takes {names}") from None
            with noting(_changed(bound)), observing(_wanted(options.get("pictures"))):
                try:
                    return check(*args, **options)
                except Planned as planned:
                    return planned_only(planned.plan)

        checked.__signature__ = signature  # type: ignore[attr-defined]  # pyright: ignore  # inspect reads it
        checked.__doc__ = _PLACE.sub(functools.partial(_described, conditions), check.__doc__ or "")
        return checked

    return decorated


def _changed(bound: inspect.BoundArguments) -> dict[str, Any]:
    """The arguments that are not the default, as far as that can be told by comparing."""
    defaults = {name: one.default for name, one in bound.signature.parameters.items()}
    return {
        name: value
        for name, value in bound.arguments.items()
        if not (isinstance(value, _PLAIN) and value == defaults[name])
    }


def _wanted(pictures: Any) -> bool:
    return settings.overridden(settings.current(), pictures=pictures).pictures


def _spelled_out(signature: inspect.Signature, conditions: type) -> inspect.Signature:
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_text(annotation))
        for name, annotation in sorted(_annotations(conditions).items(), key=_in_order)
    ]
    return signature.replace(parameters=[*own, *shared])


def _annotations(conditions: type) -> dict[str, Any]:
    return conditions.__annotations__  # of a TypedDict, with those that it inherits


def _in_order(item: tuple[str, Any]) -> int:
    return list(WORDS).index(item[0])


def _text(annotation: Any) -> str:
    return getattr(annotation, "__forward_arg__", str(annotation))


def _described(conditions: type, place: re.Match[str]) -> str:
    names = sorted(_annotations(conditions).items(), key=_in_order)
    wrapper = textwrap.TextWrapper(120, initial_indent=place[1], subsequent_indent=f"{place[1]}    ")
    return "".join(f"{wrapper.fill(f'{name}: {WORDS[name]}')}\n" for name, _ in names)
