"""What an assertion raises: one class for each outcome that is not a pass; and what an explainer may raise.

All three are AssertionErrors and none is a subclass of another, so that `xfail(raises=SanityCheckFailed)`
means what it says: a crash of the explainer, or too little evidence, is not the known failure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from pytest_saliency_sanity import settings

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict


P = ParamSpec("P")


class NotApplicable(ValueError):
    """Raised by an explainer whose method does not exist for the model that it is given.

    GradCAM for a network without feature maps, guided backpropagation without a ReLU, a gradient through integer
    arithmetic: nobody has made a mistake. The explainers of this package raise it, and a wrapper of your own may:
    the check is then inconclusive, with the reason `not_applicable` and this exception's message, instead of an error.
    Say what is missing and what to do about it. Bad arguments are a plain ValueError or TypeError.

    A check raises it where its question cannot be asked at all: another target, of a model with a single logit; hidden
    pixels, of inputs that are no images.
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
    asserted = settings.current().asserted
    if asserted is not None:
        asserted(verdict)
    if verdict.outcome == "pass":
        return verdict
    raise _BY_OUTCOME[verdict.outcome](verdict) from verdict.exception


def asserting(check: Callable[P, Verdict], name: str) -> Callable[P, Verdict]:
    """The assertion `name` of a check: it takes the same, returns the verdict of a pass, and raises for any other."""

    @functools.wraps(check)
    def assertion(*args: P.args, **options: P.kwargs) -> Verdict:
        __tracebackhide__ = True
        return raise_unless_passed(check(*args, **options))

    assertion.__name__ = assertion.__qualname__ = name
    assertion.__doc__ = f"""`{check.__name__}`, raising unless it passes.

    Raises:
        SanityCheckFailed, SanityCheckInconclusive, ExplainerContractError: by the verdict's outcome; chained to the
            exception that the explainer raised, if it raised one.
        TypeError, ValueError: for bad arguments.
    """
    return assertion


def _rebuild(name: str, verdict: Verdict) -> _VerdictError:
    return _BY_NAME[name](verdict)
