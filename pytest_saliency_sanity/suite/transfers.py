"""What goes to another process and comes back: the questions as bytes, verdicts with their exceptions and pictures."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.suite.results import Questions
from pytest_saliency_sanity.verdict import Verdict

_DEEPEST = 8  # of an exception's causes that are kept


def packed(questions: Questions) -> bytes:
    """The questions, with the fields of the case that they are about.

    They are packed together: an explainer that is bound to the case's model is bound to it there, too.

    Raises:
        TypeError: for what cannot be pickled, with its name and the way out.
    """
    questions = replace(questions, case=_read(questions))
    try:
        return _bytes(questions)
    except Exception as error:
        raise TypeError(_unpicklable(questions, error)) from error


def unpacked(sent: bytes) -> Questions:
    """The questions, in copies of their own."""
    found: Questions = torch.load(io.BytesIO(sent), weights_only=False)  # pickled by `packed` in the same run
    return found


@dataclass(frozen=True)
class SentError:
    """An exception that survives pickling, with its causes."""

    error: BaseException
    cause: SentError | None
    context: SentError | None
    suppressed: bool

    @classmethod
    def of(cls, error: BaseException | None, deep: int = 0) -> SentError | None:
        """The exception to be sent; its text, where it cannot be pickled."""
        if error is None or deep > _DEEPEST:
            return None
        cause, context = cls.of(error.__cause__, deep + 1), cls.of(error.__context__, deep + 1)
        return cls(_picklable(error), cause, context, error.__suppress_context__)

    def received(self) -> BaseException:
        """The exception."""
        error = self.error
        error.__cause__ = received(self.cause)
        error.__context__ = received(self.context)
        error.__suppress_context__ = self.suppressed
        return error


def received(sent: SentError | None) -> BaseException | None:
    """The exception that was sent, if one was."""
    return None if sent is None else sent.received()


@dataclass(frozen=True)
class SentVerdict:
    """A verdict, and what its own pickling leaves out."""

    verdict: Verdict
    error: SentError | None
    pictures: tuple[Any, ...]

    @classmethod
    def of(cls, verdict: Verdict) -> SentVerdict:
        """The verdict to be sent."""
        return cls(verdict, SentError.of(verdict.exception), verdict.pictures)

    def received(self) -> Verdict:
        """The verdict."""
        return replace(self.verdict, exception=received(self.error), pictures=self.pictures)


def _read(questions: Questions) -> Case:
    """A case of what the checks read, and nothing else: a fixture's case looks up the rest when it is asked."""
    read = {"model", "inputs", "targets", "channel_axis", "embed"}  # by the contract
    for _, check in questions.pairs:
        read.update(check.takes, check.needs)
    return Case(
        **{field.name: getattr(questions.case, field.name) for field in fields(Case) if field.name in read}
    )


def _bytes(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _unpicklable(questions: Questions, error: Exception) -> str:
    name, why = next(filter(None, map(_refused, _parts(questions))), ("what is audited", error))
    return (
        f"with executor=, {name} must be pickled, and cannot be ({' '.join(str(why).split())}); define functions and "
        "classes at the top level of a module that the workers can import, give options by functools.partial, or "
        "leave executor= out"
    )


def _refused(part: tuple[str, Any]) -> tuple[str, Exception] | None:
    try:
        _bytes(part[1])
    except Exception as error:
        return part[0], error
    return None


def _parts(questions: Questions) -> Iterator[tuple[str, Any]]:
    for name, explainer in questions.explainers.items():
        yield f"explainers[{name!r}]", explainer
    for field in fields(Case):
        yield f"case.{field.name}", getattr(questions.case, field.name)
    for check, options in questions.options.items():
        for name, value in options.items():
            yield f"options[{check!r}][{name!r}]", value
    for _, asked in questions.pairs:
        yield f"the check {asked.name!r}", asked


def _picklable(error: BaseException) -> BaseException:
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        again = None
    if type(again) is type(error) and str(again) == str(error):
        return error
    substitute = RuntimeError(f"{type(error).__name__}: {error}")
    if notes := getattr(error, "__notes__", None):
        substitute.__notes__ = list(notes)
    return substitute
