"""The pytest side: `pytest11` loads this module at every start of pytest, so it imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from pytest_saliency_sanity.checks.registry import ASSERTED
from pytest_saliency_sanity.plugin import (
    command_line,
    fixtures,
    forking,
    hookspecs,
    lookup,
    options,
    other_checks,
    selection,
    shared_folder,
)
from pytest_saliency_sanity.plugin.encoding import make_warning_sendable, sendable
from pytest_saliency_sanity.plugin.fixtures import saliency_case  # noqa: F401 - pytest finds it in this module
from pytest_saliency_sanity.plugin.recording import arrivals, records
from pytest_saliency_sanity.plugin.reporting import baseline, plan, presence, reports
from pytest_saliency_sanity.plugin.reporting.reporter import Reporter
from pytest_saliency_sanity.settings import Settings

_MARKER = "saliency: audits saliency maps; set on every test that uses a fixture of pytest-saliency-sanity"
_TRAINING_MARKER = (
    "saliency_training: trains networks, which takes time; set on every test that uses "
    f"{', '.join(name for name, check in ASSERTED.items() if check.trains)}"
)
_SETTINGS = pytest.StashKey[Settings]()

globals().update(fixtures.ASSERTIONS | fixtures.FIELDS)  # pytest finds fixtures by name in this module


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)
    command_line.add(parser)
    reports.add(parser)
    baseline.add(parser)
    plan.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    config.addinivalue_line("markers", _TRAINING_MARKER)
    config.stash[_SETTINGS] = replace(
        options.resolved(config),
        references=baseline.ways(config),
        processes=_processes(config),
        planning=plan.planning(config),
        shared=shared_folder.of_worker(config),
    )
    reports.configure(config)
    other_checks.configure(config)
    command_line.configure(config)
    if _is_worker(config):
        config.pluginmanager.register(_WarningsOfWorkers(), "saliency_sanity_warnings")
    else:
        options.clear_cache(config, config.stash[_SETTINGS].cache)
        settings = config.stash[_SETTINGS]
        reporter = plan.PlanReporter() if settings.planning else Reporter(config, settings)
        config.pluginmanager.register(reporter, "saliency_sanity_reporter")
        if settings.cache is not None:
            config.pluginmanager.register(
                shared_folder.SharedFolder(settings.cache), "saliency_sanity_folder"
            )


def pytest_itemcollected(item: pytest.Item) -> None:
    presence.note(item)
    if fixtures.uses_ours(item):
        item.add_marker("saliency")
    if not fixtures.training().isdisjoint(fixtures.used(item)):
        item.add_marker("saliency_training")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    items.extend(command_line.items(session))


@pytest.hookimpl(tryfirst=True)  # before a worker says that it is ready to run them
def pytest_collection_finish(session: pytest.Session) -> None:
    forking.refuse(session)
    selection.remember(session)
    presence.tell(session)
    shared_folder.prepare(session)


def pytest_unconfigure(config: pytest.Config) -> None:
    other_checks.unconfigure(config)


class _WarningsOfWorkers:
    """Registered on workers alone: xdist sends them every warning of a test, as it sends reports."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        make_warning_sendable(warning_message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with records.recorded(item, item.config.stash[_SETTINGS]):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    records.begin_attempt(item)
    lookup.warn_of_misspelled(item)


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    with lookup.shown_to_parametrization(metafunc):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    records.begin_call(pyfuncitem)


# Not a wrapper of pytest_runtest_call: the errors of unittest's tests and of subtests do not pass through it.
@pytest.hookimpl(specname="pytest_runtest_makereport")
def pytest_runtest_makereport_of_inconclusive(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    records.skip_if_inconclusive(call, item.config.stash[_SETTINGS])
    records.skip_if_planned(item, call)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    records.attach(item, call, report)
    return report


# The outermost wrapper: nothing that another plugin adds to a report can lose the report.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_report_to_serializable(config: pytest.Config) -> Generator[None, Any, Any]:
    data = yield
    ours = isinstance(data, dict) and data.get(records.OURS)
    return sendable(data) if ours and _is_worker(config) else data


def pytest_sessionfinish(session: pytest.Session) -> None:
    arrivals.tell(session.config)


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process sends its reports to a controller of xdist."""
    return hasattr(config, "workerinput")


def _processes(config: pytest.Config) -> int:
    """How many processes run tests."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))
