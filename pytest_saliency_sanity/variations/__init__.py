"""Images whose relevant region is filled anew: does the model still predict the same class?

This is the second problem of Thakur and Fischmeister. A generator fills the region that a map calls relevant, so that
it fits its surroundings. Some of these variations keep the class and its confidence, others lose it.

Limits: a variant is only as realistic as the generator. A generator that cannot make a 2 does not show how a 7 becomes
one, and the model may misread a variant because of a visible seam. The variants are a sample over starts, not a proof:
if none of them loses the class, others still could. And a variant that loses the class is an adversarial example only
if a person still sees the class in it. Look at the pictures.
"""

from __future__ import annotations

from pytest_saliency_sanity.variations.acceptable import acceptable_variations
from pytest_saliency_sanity.variations.outcome import Variations

__all__ = ["Variations", "acceptable_variations"]
