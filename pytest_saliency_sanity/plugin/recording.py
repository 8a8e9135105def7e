"""Verdicts on their way from a check to the test's report: the stash, then an attribute of the report."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.errors import SanityCheckInconclusive
from pytest_saliency_sanity.settings import Settings

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict

ATTRIBUTE = "saliency_verdicts"
PROPERTY = "saliency_verdict"
_SHOWN = (
    "check", "explainer", "model", "outcome", "reason", "statistic", "interval", "threshold", "seed", "caveats",
)  # fmt: skip
_UNREPORTED = pytest.StashKey[list[str]]()


@contextmanager
def recorded(item: pytest.Item, base: Settings) -> Iterator[None]:
    """Let the run's settings hold for this test, and its checks record what they find."""
    item.stash[_UNREPORTED] = []
    of_the_test = replace(base, replay=replay_command(item, base), record=_recorder(item))
    with settings.using(of_the_test, of_a_test=True):
        yield


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put what was found since the test's last report on this one.

    As JSON text: xdist loses the whole test, and ends with exit code 0, over a value that execnet cannot send
    (a numpy scalar, but also a lone surrogate or an integer below -2**31).
    """
    verdicts = item.stash.get(_UNREPORTED, [])
    setattr(report, ATTRIBUTE, verdicts[:])
    verdicts.clear()


def attached(report: pytest.TestReport) -> list[dict[str, Any]]:
    """The verdicts on a report, as `Verdict.to_json` gave them."""
    return [json.loads(text) for text in getattr(report, ATTRIBUTE, [])]


def skip_if_inconclusive(call: pytest.CallInfo[Any], base: Settings) -> None:
    """Where the run's rule is "skip", make an inconclusive verdict's error a skip, at the same line."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, SanityCheckInconclusive) and base.amounts.inconclusive == "skip":
        skip = pytest.skip.Exception(error.verdict.summary).with_traceback(error.__traceback__)
        call.excinfo = pytest.ExceptionInfo.from_exception(skip)


def replay_command(item: pytest.Item, base: Settings) -> str:
    """The command that repeats this test with these settings; a check adds its seed."""
    return " ".join(["pytest", _quoted(_address(item)), *_selection(item.config), *_flags(base)])


def _recorder(item: pytest.Item) -> Callable[[Verdict], None]:
    def record(verdict: Verdict) -> None:
        found = verdict.to_json()
        item.stash[_UNREPORTED].append(json.dumps(found, allow_nan=False))
        item.user_properties.append((PROPERTY, json.dumps({name: found[name] for name in _SHOWN})))

    return record


def _address(item: pytest.Item) -> str:
    """The node id as it must be typed where pytest was started; `item.nodeid` is relative to the rootdir."""
    try:
        path = os.path.relpath(item.path, item.config.invocation_params.dir)
    except ValueError:  # another drive
        path = str(item.path)
    _, separator, name = item.nodeid.partition("::")
    return path + separator + name


def _quoted(text: str) -> str:
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _selection(config: pytest.Config) -> Iterator[str]:
    """What makes pytest find this test again: the rootdir and options in force, no deselection."""
    if config.getoption("rootdir"):
        yield f"--rootdir {_quoted(str(config.getoption('rootdir')))}"
    if config.getoption("inifilename"):
        yield f"-c {_quoted(str(config.getoption('inifilename')))}"
    if any(option.startswith("-m") for option in config.getini("addopts")):
        yield '-m ""'


def _flags(base: Settings) -> Iterator[str]:
    given: Mapping[str, Any] = {
        "profile": base.profile,
        "inconclusive": base.inconclusive,
        "max-seconds": base.max_seconds,
    }
    for name, value in given.items():
        if value is not None:
            yield f"--saliency-{name} {value}"
