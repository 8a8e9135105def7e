"""What is said of a run as a whole: its headline, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report.words import ORDER

if TYPE_CHECKING:
    from pytest_saliency_sanity.report.document import Report

_HEADLINES = {
    "error": ("{count} of {all} verdicts is an error", "{count} of {all} verdicts are errors"),
    "fail": ("{count} of {all} checks failed", "{count} of {all} checks failed"),
    "inconclusive": ("{count} of {all} checks is inconclusive", "{count} of {all} checks are inconclusive"),
}


def headline(report: Report) -> str:
    """One line: the worst that happened, and how often."""
    if report.lost:
        return "Verdicts were lost"
    if not report.entries:
        return "No verdict was reached"
    found, everything = worst(report), len(report.entries)
    if found in _HEADLINES:
        count = report.counts[found]
        return _HEADLINES[found][count > 1].format(count=count, all=everything)
    return f"All {everything} checks passed" if report.counts["pass"] == everything > 1 else "No check failed"


def worst(report: Report) -> str:
    """As what the worst counts that needs somebody's attention; "pass" where nothing does."""
    if report.lost:
        return "lost"
    if not report.entries:
        return "inconclusive"
    return next((name for name in ORDER if name in _HEADLINES and report.counts[name]), "pass")


def in_short(report: Report) -> str:
    """What of it is asked for most, in a line."""
    settings = report.settings
    parts = (
        _began(report.began),
        f"{report.seconds:.0f} s" if report.seconds else "",
        f"profile {settings['profile']}" if "profile" in settings else "",
        f"seed {settings['seed']}" if "seed" in settings else "",
    )
    return " · ".join(part for part in parts if part)


def facts(report: Report) -> Mapping[str, str]:
    """Label -> what is known, as text; without what is not known."""
    settings, environment = report.settings, report.environment
    found = {
        "Command": report.command,
        "Began": _began(report.began),
        "Took": f"{report.seconds:.1f} s",
        "Seed": settings.get("seed"),
        "Profile": settings.get("profile"),
        "An inconclusive check": {"fail": "fails its test", "skip": "skips its test"}.get(
            settings.get("inconclusive", "")
        ),
        "Time budget of a check": _seconds(settings.get("max_seconds")),
        "Python": f"{environment.get('python', '')} ({environment.get('implementation', '')})",
        "Platform": f"{environment.get('system', '')} {environment.get('machine', '')}",
        "Versions": ", ".join(
            f"{name} {version}" for name, version in environment.get("packages", {}).items()
        ),
    }
    return {
        label: str(value)
        for label, value in found.items()
        if str(value if value is not None else "").strip(" ()")
    }


def _began(given: str) -> str:
    """ISO 8601 as it is read; what is no such time, as it is."""
    return given.replace("T", " ").replace("+00:00", " UTC")


def _seconds(given: float | None) -> str:
    return "" if given is None else f"{given:g} s"
