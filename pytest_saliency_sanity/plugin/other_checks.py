"""Checks of other packages and of the project: registered for the run, with a fixture each."""

from __future__ import annotations

from types import ModuleType

import pytest

from pytest_saliency_sanity.checks import registration
from pytest_saliency_sanity.checks.registry import ASSERTED, Check
from pytest_saliency_sanity.plugin.fixtures import fixture_of

_OWN = pytest.StashKey[list[Check]]()


def configure(config: pytest.Config) -> None:
    """Ask the hook, and make the fixtures.

    Raises:
        pytest.UsageError: for a check that cannot stand beside the others.
    """
    own = config.stash[_OWN] = []
    try:
        for checks in config.hook.pytest_saliency_checks(config=config):
            own += [registration.register_check(check) for check in checks]
        others = {name: check for name, check in registration.asserted().items() if name not in ASSERTED}
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"pytest_saliency_checks: {error}") from error
    fixtures = ModuleType("pytest_saliency_sanity_checks_of_others")
    vars(fixtures).update({name: fixture_of(check) for name, check in others.items()})
    config.pluginmanager.register(fixtures, fixtures.__name__)


def unconfigure(config: pytest.Config) -> None:
    """Forget the checks of this run: another one may follow in this process."""
    for check in config.stash.get(_OWN, []):
        registration.unregister_check(check)
