"""Settings: defaults, what overrides them, and where they hold."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from typing import Any

import pytest

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.settings import PROFILES, SETTABLE, Settings, SettingsError


@pytest.fixture(autouse=True)
def _outside_pytest(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What holds where no plugin has set anything."""
    monkeypatch.setattr(settings, "_OF_TESTS", [])
    token = settings._CURRENT.set(None)
    yield
    settings._CURRENT.reset(token)


def test_defaults() -> None:
    present = settings.current()
    assert present == Settings(
        seed=0, profile="ci", inconclusive=None, max_seconds=None, replay="", record=None
    )
    assert present.amounts == PROFILES["ci"]


@pytest.mark.parametrize(
    "profile, inconclusive, draws", [("smoke", "skip", 3), ("ci", "fail", 5), ("release", "fail", 10)]
)
def test_profiles(profile: str, inconclusive: str, draws: int) -> None:
    amounts = Settings(profile=profile).amounts
    assert (amounts.inconclusive, amounts.draws) == (inconclusive, draws)


def test_what_is_set_beats_the_profile() -> None:
    amounts = Settings(profile="smoke", inconclusive="fail", max_seconds=2).amounts
    assert (amounts.inconclusive, amounts.max_seconds, amounts.images) == (
        "fail",
        2,
        PROFILES["smoke"].images,
    )


def test_overridden_leaves_out_none() -> None:
    base = Settings(seed=3, profile="smoke")
    assert settings.overridden(base, seed=None, profile="ci") == Settings(seed=3, profile="ci")
    assert settings.overridden(base, seed=0).seed == 0


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"seed": -1}, "seed must be an integer of at least 0, not -1"),
        ({"seed": True}, "seed must be an integer of at least 0, not True"),
        ({"seed": 1.0}, "seed must be an integer of at least 0, not 1.0"),
        ({"profile": "fast"}, "profile must be one of smoke, ci, release, not 'fast'"),
        ({"profile": ["ci"]}, "profile must be one of smoke, ci, release, not ['ci']"),
        ({"inconclusive": "pass"}, "inconclusive must be one of fail, skip, not 'pass'"),
        ({"max_seconds": 0}, "max_seconds must be a number of seconds above 0, not 0"),
        ({"max_seconds": float("inf")}, "max_seconds must be a number of seconds above 0, not inf"),
        ({"cache": ""}, "cache must be a directory, not ''"),
        ({"cache": __file__}, f"cache must be a directory; {__file__!r} is a file"),
        ({"pictures": "yes"}, "pictures must be true or false, not 'yes'"),
        ({"pictures": 1}, "pictures must be true or false, not 1"),
        ({"artifacts": ""}, "artifacts must be a directory, not ''"),
        ({"artifacts": __file__}, f"artifacts must be a directory; {__file__!r} is a file"),
        ({"max_seconds": "9"}, "max_seconds must be a number of seconds above 0, not '9'"),
        (
            {"sed": 1},
            f"settings: unknown key 'sed'; choose from {', '.join(SETTABLE)}",
        ),
        (
            {"replay": ""},
            f"settings: unknown key 'replay'; choose from {', '.join(SETTABLE)}",
        ),
    ],
)
def test_what_cannot_be_set(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        settings.overridden(Settings(), **given)


def test_using_is_undone_after_an_exception() -> None:
    with pytest.raises(OSError), settings.using(Settings(seed=1), of_a_test=True):
        raise OSError
    assert settings.current() == Settings()


def test_using_nests() -> None:
    with settings.using(Settings(seed=1)):
        with settings.using(Settings(seed=2)):
            assert settings.current().seed == 2
        assert settings.current().seed == 1


def in_a_thread() -> Settings:
    """The settings that hold in a new thread."""
    found: list[Settings] = []
    # In an empty context, as threads start with everywhere but in free-threaded builds.
    thread = threading.Thread(
        target=contextvars.Context().run, args=(lambda: found.append(settings.current()),)
    )
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_has_settings_of_its_own_or_the_test_s() -> None:
    with settings.using(Settings(seed=1)):
        assert in_a_thread().seed == 0
        with settings.using(Settings(seed=2), of_a_test=True):
            assert in_a_thread().seed == 2
            with settings.using(Settings(seed=3)):
                assert settings.current().seed == 3
                assert in_a_thread().seed == 2
    assert in_a_thread().seed == 0


def test_a_context_that_outlives_its_test_has_those_of_the_next() -> None:
    def record(verdict: object) -> None:
        """One test's place for verdicts."""

    def another(verdict: object) -> None:
        """The next test's."""

    with settings.using(Settings(seed=1, record=record), of_a_test=True):
        kept = contextvars.copy_context()
        with settings.using(Settings(seed=2, record=record)):
            kept_inside = contextvars.copy_context()
        assert kept.run(settings.current).seed == 1 and kept_inside.run(settings.current).seed == 2
    assert kept.run(settings.current) == kept_inside.run(settings.current) == Settings()
    with settings.using(Settings(seed=3, record=another), of_a_test=True):
        assert kept.run(settings.current).seed == kept_inside.run(settings.current).seed == 3


def test_a_task_has_those_of_its_context() -> None:
    async def seed() -> int:
        await asyncio.sleep(0)
        return settings.current().seed

    async def together() -> list[int]:
        with settings.using(Settings(seed=1)):
            first = asyncio.create_task(seed())
        with settings.using(Settings(seed=2)):
            second = asyncio.create_task(seed())
        return [await first, await second]

    assert asyncio.run(together()) == [1, 2]
