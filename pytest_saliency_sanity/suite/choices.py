"""Which explainers and which checks were asked for, read and refused in one place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_saliency_sanity.checks import registration
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.text import shown

ALL = "all"
Reasons = Mapping[str, Mapping[str, str]]


def chosen_explainers(explainers: Any) -> dict[str, Any]:
    """The explainers by the names that ids and messages call them.

    Raises:
        TypeError, ValueError: for what is no mapping from names to explainers, in one sentence.
    """
    if not isinstance(explainers, Mapping):
        raise TypeError(
            f'explainers must be a mapping from names to explainers, such as {{"gradient": gradient}}, '
            f"not {shown(explainers)}"
        )
    if not explainers:
        raise ValueError("explainers is empty: there is nothing to check")
    for name in explainers:
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"the name of an explainer must be a string that is not empty, not {shown(name)}")
    return dict(explainers)


def chosen_checks(checks: Any = ALL) -> tuple[Check, ...]:
    """The checks of these names, in their order; "all" means every check that has an assertion.

    Raises:
        ValueError: for a name that no check has, with the choices.
    """
    known = {check.name: check for check in registration.known()}
    if isinstance(checks, str) and checks == ALL:
        return tuple(check for check in known.values() if check.assertion)
    names = [checks] if isinstance(checks, str) else checks
    if not isinstance(names, Iterable):
        raise TypeError(f'checks must be "all" or names of checks, not {shown(checks)}')
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in known or not known[name].assertion:
            raise ValueError(unknown("check", name, [one.name for one in known.values() if one.assertion]))
    if not names:
        raise ValueError('checks is empty: there is nothing to check; "all" means every check')
    return tuple(known[name] for name in names)


def checked_reasons(expected: Any, asked: Mapping[str, Iterable[Check]]) -> dict[str, dict[str, str]]:
    """The expected failures: for each explainer the checks that it fails, with the reason.

    Args:
        expected: what was given.
        asked: the checks of each explainer.

    Raises:
        TypeError, ValueError: for an explainer or a check that is not among those that are checked, with the choices.
    """
    if expected is None:
        return {}
    if not isinstance(expected, Mapping) or not all(isinstance(one, Mapping) for one in expected.values()):
        raise TypeError(
            "expected_failed_checks must map an explainer's name to its failing checks with their reasons, such as "
            f'{{"gbp": {{"model_sensitivity": "edge-like by construction"}}}}, not {shown(expected)}'
        )
    for explainer, reasons in expected.items():
        if explainer not in asked:
            raise ValueError(f"expected_failed_checks: {unknown('explainer', explainer, list(asked))}")
        names = [check.name for check in asked[explainer]]
        for name, reason in reasons.items():
            if name not in names:
                raise ValueError(f"expected_failed_checks[{explainer!r}]: {unknown('check', name, names)}")
            if not isinstance(reason, str) or not reason.strip():
                raise ValueError(
                    f"expected_failed_checks[{explainer!r}][{name!r}] must say why it fails, not {shown(reason)}"
                )
    return {explainer: dict(reasons) for explainer, reasons in expected.items()}


def checked_options(options: Any, checks: Iterable[Check]) -> dict[str, dict[str, Any]]:
    """Keyword options for checks, by the checks' names.

    Raises:
        TypeError, ValueError: for what is no mapping, and for a check that is not among those that are asked.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(one, Mapping) for one in options.values()):
        raise TypeError(
            f'options must map a check\'s name to its keyword options, such as {{"consistency": '
            f'{{"min_agreement": 0.8}}}}, not {shown(options)}'
        )
    names = [check.name for check in checks]
    for name in options:
        if name not in names:
            raise ValueError(f"options: {unknown('check', name, names)}")
    return {name: dict(given) for name, given in options.items()}


def unknown(what: str, name: Any, choices: list[str]) -> str:
    """The sentence that refuses a name, with the choices and the one that is nearly right."""
    near = difflib.get_close_matches(str(name), choices, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {shown(name)}; choose from {', '.join(choices)}{hint}"
