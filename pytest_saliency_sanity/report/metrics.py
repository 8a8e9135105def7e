"""Figures that the field reports, as they are shown beside a verdict that they had no share in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict

LABEL = "beside the verdict"


@dataclass(frozen=True)
class Shown:
    """A figure in words.

    Attributes:
        title: its name.
        value: its mean over the images, to three digits; or that it was not computed.
        remark: which way is better, who defined it; or why it was not computed.
    """

    title: str
    value: str
    remark: str

    def __str__(self) -> str:
        return f"{self.title} {self.value} ({self.remark})"


def of(verdict: Verdict) -> list[Shown]:
    """The figures that a verdict's evidence holds; none where it has none."""
    stated = verdict.evidence.get("metrics")
    return [_shown(name, one) for name, one in _named(stated)]


def sentence(verdict: Verdict) -> str:
    """All of them, with their sources; "" where there are none."""
    return "; ".join(map(str, of(verdict)))


def in_short(verdict: Verdict) -> str:
    """Their names and values; "" where there are none."""
    return ", ".join(f"{one.title} {one.value}" for one in of(verdict))


def _named(stated: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Evidence may be anything: a check from outside writes its own."""
    if isinstance(stated, Mapping):
        yield from ((name, one) for name, one in stated.items() if isinstance(one, Mapping))


def _shown(name: str, stated: Mapping[str, Any]) -> Shown:
    title, value = _line(stated.get("title", name)), stated.get("value")
    if not isinstance(value, (int, float)):
        return Shown(title, "not computed", _line(stated.get("not_computed", "no value")))
    better, source = _line(stated.get("better")), _line(stated.get("source"))
    said = (f"{better} is better" if better else "", source)
    return Shown(title, f"{value:.3g}", ", ".join(part for part in said if part) or "no source")


def _line(text: Any) -> str:
    return " ".join(str(text or "").split())
