"""Reading one digit. `python -m digit_reader.predict 7` reads the held-out digit number 7 and draws it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from digit_reader.data import load_digits
from digit_reader.model import DigitClassifier
from digit_reader.training import train


@dataclass(frozen=True)
class Reading:
    digit: int
    confidence: float


def read(model: DigitClassifier, image: Tensor) -> Reading:
    """The digit on `image`, (1, 28, 28) in [0, 1], and the probability that the model gives it."""
    if image.shape != (1, 28, 28):
        raise ValueError(f"an image must be (1, 28, 28), got {tuple(image.shape)}")
    with torch.no_grad():
        probabilities = model(image[None]).softmax(1)[0]
    digit = int(probabilities.argmax())
    return Reading(digit, float(probabilities[digit]))


def drawing(image: Tensor) -> str:
    """`image` as 28 lines of text, two characters a pixel."""
    shades = " .:*#"
    levels = (image[0] * (len(shades) - 1)).round().long().tolist()
    return "\n".join("".join(2 * shades[level] for level in row) for row in levels)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    digits = load_digits("held_out")
    reading = read(train(load_digits("train")), digits.images[number])
    print(drawing(digits.images[number]))
    print(f"read as {reading.digit} ({reading.confidence:.1%}), written as {int(digits.labels[number])}")
