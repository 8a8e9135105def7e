"""The levels at which a check fails and passes, and what would settle what they leave open."""

from __future__ import annotations

ALPHA_FAIL = 0.01  # chance of failing an explainer of which no more than the threshold survives
ALPHA_PASS = 0.05  # chance of passing one of which more survives


def settlement(found: tuple[int, int] | None, shape: tuple[int, int], draws: str = "draws") -> str:
    """What would settle an open question, in words; `draws` is what the columns are called."""
    if found is None:
        return (
            f"no number of images or {draws} would settle it: the value lies between the thresholds, at one of "
            f"them or very close to one"
        )
    grown = [
        f"{number} {what} instead of {present}"
        for number, what, present in zip(found, ("images", draws), shape, strict=True)
        if number > present
    ]
    return f"about {' and '.join(grown)} would settle it"
