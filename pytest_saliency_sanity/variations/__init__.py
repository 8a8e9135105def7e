"""What else could stand where a map points, and does the model still see the same class?

The second problem of Thakur and Fischmeister: the region that a mask holds relevant is filled anew by a generator
that has to fit what is around it. Some variations keep the class and its confidence, others lose it.

What it shows, and what not: a variant is as realistic as the generator, and no more; a generator that cannot make a
2 will not show how a 7 becomes one, and a variant with a visible seam may be misread for its seam. The variants are
a sample over starts, not a proof: none of them losing the class does not mean that none could, and a variant that
loses it is an adversarial example only in the eye of one who still sees the class in it. Look at the pictures.
"""

from __future__ import annotations

from pytest_saliency_sanity.variations.acceptable import acceptable_variations
from pytest_saliency_sanity.variations.outcome import Variations

__all__ = ["Variations", "acceptable_variations"]
