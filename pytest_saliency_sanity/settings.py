"""Defaults and where they come from: an argument overrides a flag, a flag pyproject.toml, and that the profile.

The settings that hold for the running test, and the place where verdicts are recorded, live in a ContextVar.
The plugin sets it around each test, so that imported functions and fixtures see the same; outside pytest the
defaults hold and nothing is recorded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from weakref import WeakSet

from pytest_saliency_sanity.text import shown

if TYPE_CHECKING:
    from pytest_saliency_sanity.plan import Planning
    from pytest_saliency_sanity.verdict import Verdict


@dataclass(frozen=True)
class Profile:
    """How much evidence a check gathers before it says "inconclusive".

    Attributes:
        name: its key in `PROFILES`.
        images: images of the ordinary look; an early look takes 8, the last one up to twice as many.
        draws: re-initializations of the ordinary look; the last look takes up to four times as many.
        depths: the judged depths of the cascade.
        max_seconds: time budget of one check; when it is used up, the verdict is inconclusive, with what is known.
        inconclusive: what an inconclusive verdict does to its test, "fail" or "skip".
    """

    name: str
    images: int
    draws: int
    depths: tuple[str, ...]
    max_seconds: float
    inconclusive: str


PROFILES: Mapping[str, Profile] = {
    "smoke": Profile("smoke", 8, 3, ("upper",), 60.0, "skip"),
    "ci": Profile("ci", 16, 5, ("upper", "half", "all"), 600.0, "fail"),
    "release": Profile("release", 32, 10, ("upper", "half", "all"), 3600.0, "fail"),
}
INCONCLUSIVE = ("fail", "skip")
REMARK = "  # "  # between the command that replays a test and what has to be added to it


class SettingsError(ValueError):
    """A setting with an unknown name or an impossible value; the sentence lists the choices."""


@dataclass(frozen=True)
class Settings:
    """The settings of the checks of one run.

    Attributes:
        seed: seed of every check that is not given one.
        profile: a key of `PROFILES`.
        inconclusive: "fail" or "skip"; None means what the profile says.
        max_seconds: budget of one check in seconds; None means what the profile says.
        cache: directory of trained networks, or the URL of an object store (such as s3://bucket/folder, by fsspec) that
            machines share; None means that none is kept on disk.
        progress: where the progress of training is shown; None means nowhere.
        replay: what repeats the running test (a pytest command without the seed, and behind `REMARK` what has to be
            added to it), "" outside pytest.
        record: called with every verdict; None outside pytest.
        asserted: called with every verdict that an assertion judges; None outside pytest.
        notes: what a reader of every verdict must know, in sentences.
        min_verdicts: the run fails where fewer verdicts than this were reached.
        junit: whether JUnit's XML gets properties of verdicts.
        references: what may be done to reference maps: "create" those that are missing, "fix" those that are there.
        pictures: whether verdicts keep thumbnails of the maps.
        artifacts: directory where the pictures of each verdict that is not a pass are written; None means nowhere.
        baseline: file of verdicts that the run is held against; None means none.
        reports_contract: whether another test of this run reports the contract of the explainer of that name, beside
            the running test; None outside pytest.
        explained: called after each call of an explainer, with the number of maps; None outside pytest.
        tell: shows a sentence at once, though a test's output is captured; None outside pytest.
        processes: how many processes of this run may explain at the same time.
        shared: folder that the processes of this run share, and that ends with it; None means that each is for itself.
        planning: that checks only plan, and where they put their plans; None means that they are run.
    """

    seed: int = 0
    profile: str = "ci"
    inconclusive: str | None = None
    max_seconds: float | None = None
    cache: str | Path | None = None
    progress: TextIO | None = field(default_factory=lambda: sys.stderr)
    replay: str = ""
    record: Callable[[Verdict], None] | None = None
    asserted: Callable[[Verdict], None] | None = None
    notes: tuple[str, ...] = ()
    min_verdicts: int = 0
    junit: bool = True
    references: tuple[str, ...] = ()
    pictures: bool = False
    artifacts: str | Path | None = None
    baseline: str | Path | None = None
    reports_contract: Callable[[str], bool] | None = None
    explained: Callable[[int], None] | None = None
    tell: Callable[[str], None] | None = None
    processes: int = 1
    shared: str | Path | None = None
    planning: Planning | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            check(name, getattr(self, name))

    @property
    def amounts(self) -> Profile:
        """The profile, with the budget and the rule for inconclusive verdicts that were set."""
        profile = PROFILES[self.profile]
        return replace(
            profile,
            max_seconds=profile.max_seconds if self.max_seconds is None else self.max_seconds,
            inconclusive=self.inconclusive or profile.inconclusive,
        )


SETTABLE = (
    "seed", "profile", "inconclusive", "max_seconds", "cache", "min_verdicts", "junit", "pictures", "artifacts",
    "baseline",
)  # fmt: skip
_CURRENT: ContextVar[Settings | None] = ContextVar("saliency_sanity_settings", default=None)
_OF_TESTS: list[Settings] = []
_ENDED: WeakSet[Callable[[Verdict], None]] = WeakSet()


def current() -> Settings:
    """The settings that hold here: those of the running test, else the defaults."""
    present = _CURRENT.get()
    if present is None or present.record in _ENDED:
        return _OF_TESTS[-1] if _OF_TESTS else Settings()
    return present


@contextmanager
def using(settings: Settings, *, of_a_test: bool = False) -> Iterator[Settings]:
    """Let `settings` hold inside the block.

    Args:
        settings: what holds.
        of_a_test: the block is a test. They hold in its threads too, which start with an empty context, and
            not after its end in contexts that were copied from it (an event loop that several tests share).
    """
    token = _CURRENT.set(settings)
    try:
        with _test(settings) if of_a_test else nullcontext():
            yield settings
    finally:
        _CURRENT.reset(token)


@contextmanager
def _test(settings: Settings) -> Iterator[None]:
    _OF_TESTS.append(settings)
    try:
        yield
    finally:
        _OF_TESTS.remove(settings)
        if settings.record is not None:
            _ENDED.add(settings.record)


def overridden(settings: Settings, **given: Any) -> Settings:
    """`settings` with every value of `given` that is not None.

    Raises:
        SettingsError: for an unknown name or an impossible value.
    """
    changed = {name: value for name, value in known(given).items() if value is not None}
    if isinstance(changed.get("seed"), Integral) and not isinstance(changed["seed"], bool):
        changed["seed"] = int(changed["seed"])  # numpy's integers print another name into the random streams
    return replace(settings, **changed)


def known(table: Mapping[str, Any], origin: str = "settings") -> dict[str, Any]:
    """`table`, if every key in it can be set.

    Raises:
        SettingsError: for an unknown key; the sentence lists the choices.
    """
    for name in table:
        if name not in SETTABLE:
            raise SettingsError(f"{origin}: unknown key {name!r}; choose from {', '.join(SETTABLE)}")
    return dict(table)


def _check_seed(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise SettingsError(f"{name} must be an integer of at least 0, not {shown(value)}")


def _check_min_verdicts(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise SettingsError(f"{name} must be a number of verdicts, at least 0, not {shown(value)}")


def _check_profile(name: str, value: Any) -> None:
    if not isinstance(value, str) or value not in PROFILES:
        raise SettingsError(f"{name} must be one of {', '.join(PROFILES)}, not {shown(value)}")


def _check_inconclusive(name: str, value: Any) -> None:
    if value is not None and value not in INCONCLUSIVE:
        raise SettingsError(f"{name} must be one of {', '.join(INCONCLUSIVE)}, not {shown(value)}")


def _check_max_seconds(name: str, value: Any) -> None:
    if value is not None and not (_is_real(value) and math.isfinite(value) and value > 0):
        raise SettingsError(f"{name} must be a number of seconds above 0, not {shown(value)}")


def _check_junit(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be true or false, not {shown(value)}")


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_pictures(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be true or false, not {shown(value)}")


def _check_directory(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, (str, Path)) or not str(value)):
        raise SettingsError(f"{name} must be a directory, not {shown(value)}")
    if value is not None and Path(value).exists() and not Path(value).is_dir():
        raise SettingsError(f"{name} must be a directory; {str(value)!r} is a file")


def _check_cache(name: str, value: Any) -> None:
    if not is_url(value):
        return _check_directory(name, value)
    from fsspec import available_protocols

    protocol = value.partition("://")[0]
    if protocol.partition("::")[0] not in available_protocols():
        raise SettingsError(
            f"{name} must be a directory or a URL that fsspec knows, such as s3://bucket/folder, not {shown(value)}"
        )
    return None


def is_url(cache: Any) -> bool:
    """Whether a cache is no directory but an object store."""
    return isinstance(cache, str) and "://" in cache


def _check_file(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, (str, Path)) or Path(value).is_dir() or not str(value)):
        raise SettingsError(f"{name} must be a file, not {shown(value)}")


_CHECKS = {
    "junit": _check_junit,
    "min_verdicts": _check_min_verdicts,
    "seed": _check_seed,
    "profile": _check_profile,
    "inconclusive": _check_inconclusive,
    "max_seconds": _check_max_seconds,
    "cache": _check_cache,
    "pictures": _check_pictures,
    "artifacts": _check_directory,
    "baseline": _check_file,
}
