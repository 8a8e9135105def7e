"""Colors of the page in both color schemes, and what is written on what: a test computes each pair's contrast."""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f5f6f8",
    "ink": "#1c222b",
    "muted": "#566070",
    "line": "#d8dde4",
    "link": "#1a5ab8",
    "good": "#1b6e3c",
    "good-soft": "#e7f4ec",
    "bad": "#b3231b",
    "bad-soft": "#fcebe9",
    "open": "#805200",
    "open-soft": "#fcf2dc",
    "known": "#6a3fb0",
    "known-soft": "#f1ebfb",
    "quiet": "#4f5a69",
    "quiet-soft": "#eceff3",
    "first": "#1a5ab8",
    "second": "#b35900",
}
DARK: Mapping[str, str] = {
    "paper": "#14171c",
    "panel": "#1b2027",
    "ink": "#e5e9ef",
    "muted": "#a7b0bd",
    "line": "#353d48",
    "link": "#8db6f7",
    "good": "#74cf99",
    "good-soft": "#19301f",
    "bad": "#ff938a",
    "bad-soft": "#3d1d1c",
    "open": "#f0c162",
    "open-soft": "#352a12",
    "known": "#c6adff",
    "known-soft": "#2b2340",
    "quiet": "#b3bcc8",
    "quiet-soft": "#272d36",
    "first": "#8db6f7",
    "second": "#f0a35e",
}
TONES: Mapping[str, str] = {  # as what a verdict counts -> the colors that it has
    "lost": "bad",
    "error": "bad",
    "fail": "bad",
    "inconclusive": "open",
    "xfail": "known",
    "refused": "quiet",
    "observed": "quiet",
    "pass": "good",
}
_TONES = ("good", "bad", "open", "known", "quiet")
WRITTEN = (  # text, and the ground that it stands on
    *((text, ground) for text in ("ink", "muted", "link", *_TONES) for ground in ("paper", "panel")),
    *((tone, f"{tone}-soft") for tone in _TONES),
    *(("ink", f"{tone}-soft") for tone in _TONES),
)
DRAWN = tuple((line, "paper") for line in ("first", "second", "good", "bad", "open", "muted"))


def css() -> str:
    """Both schemes as variables of CSS; paper is white where the page is printed."""
    return (
        f":root{{color-scheme:light dark;{_variables(LIGHT)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    )


def _variables(colors: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{color};" for name, color in colors.items())
