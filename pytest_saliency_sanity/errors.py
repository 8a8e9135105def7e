"""The errors that an assertion raises, one for each outcome that is not a pass, and one that an explainer may raise.

All three are AssertionErrors, and none is a subclass of another. So `xfail(raises=SanityCheckFailed)` expects a failed
check only: not a crash of the explainer, and not too little evidence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.plan import PLANNED

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict


P = ParamSpec("P")


class NotApplicable(ValueError):
    """Raised by an explainer whose method does not exist for the model that it is given.

    Examples are GradCAM for a network without feature maps, guided backpropagation without a ReLU, and a gradient
    through integer arithmetic. None of these is a mistake. The explainers of this package raise this exception, and
    your own wrappers may. The check is then inconclusive, with the reason `not_applicable` and the exception's
    message, instead of an error. Say in the message what is missing and what to do about it. For bad arguments, raise
    a plain ValueError or TypeError.

    A check raises it where its question cannot be asked at all: another target, of a model with a single logit; hidden
    pixels, of inputs that are not images.
    """


class _VerdictError(AssertionError):
    """An AssertionError that carries its verdict and survives pickling (xdist, multiprocessing)."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.render())
        self.verdict = verdict

    def __reduce__(self) -> tuple[Any, ...]:
        # The public classes claim to live in builtins (see below), where pickle would not find them.
        kind = next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in _BY_NAME)
        notes = getattr(self, "__notes__", None)
        return _rebuild, (kind, self.verdict), {"__notes__": notes} if notes else None


class SanityCheckFailed(_VerdictError):
    """The explanation does not depend on what it has to depend on."""


class SanityCheckInconclusive(_VerdictError):
    """The evidence supports neither a pass nor a fail; the verdict says what would settle it."""


class ExplainerContractError(_VerdictError):
    """The explainer broke its contract: an exception, NaN, a wrong shape, a changed model."""


_BY_OUTCOME = {
    "fail": SanityCheckFailed,
    "inconclusive": SanityCheckInconclusive,
    "error": ExplainerContractError,
}
_BY_NAME = {kind.__name__: kind for kind in _BY_OUTCOME.values()}

for _kind in _BY_OUTCOME.values():
    # pytest's short summary prints the qualified name in front of the message: leave room for the message.
    _kind.__module__ = "builtins"


def raise_unless_passed(verdict: Verdict) -> Verdict:
    """Return a passing verdict; raise the error that belongs to any other.

    Raises:
        SanityCheckFailed, SanityCheckInconclusive, ExplainerContractError: by `verdict.outcome`; chained to the
            exception that the explainer raised, if it raised one.
    """
    __tracebackhide__ = True
    if verdict.reason == PLANNED:  # it is none; the test goes on to its next check
        return verdict
    asserted = settings.current().asserted
    if asserted is not None:
        asserted(verdict)
    if verdict.outcome == "pass":
        return verdict
    raise _BY_OUTCOME[verdict.outcome](verdict) from verdict.exception


def asserting(check: Callable[P, Verdict], name: str) -> Callable[P, Verdict]:
    """The assertion `name` of a check: it takes the same arguments, and raises unless the verdict is a pass."""

    @functools.wraps(check)
    def assertion(*args: P.args, **options: P.kwargs) -> Verdict:
        __tracebackhide__ = True
        return raise_unless_passed(check(*args, **options))

    assertion.__name__ = assertion.__qualname__ = name
    assertion.__doc__ = f"""As `{check.__name__}`, but it raises unless the verdict is a pass.

    Raises:
        SanityCheckFailed, SanityCheckInconclusive, ExplainerContractError: by the verdict's outcome; chained to the
            exception that the explainer raised, if it raised one.
        TypeError, ValueError: for bad arguments.
    """
    return assertion


def _rebuild(name: str, verdict: Verdict) -> _VerdictError:
    return _BY_NAME[name](verdict)
