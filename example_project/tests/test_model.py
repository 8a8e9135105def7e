from __future__ import annotations

import pytest
import torch

from digit_reader.data import Digits
from digit_reader.model import DigitClassifier
from digit_reader.training import accuracy, train


@pytest.mark.parametrize("count", [1, 5])
def test_a_logit_for_each_digit(count):
    assert DigitClassifier().eval()(torch.rand(count, 1, 28, 28)).shape == (count, 10)


def test_held_out_digits_are_read(model, held_out):
    assert not model.training
    assert accuracy(model, held_out) >= 0.95


def test_training_can_be_repeated_and_leaves_the_random_state(held_out):
    few = Digits(held_out.images[:100], held_out.labels[:100])
    before = torch.get_rng_state()
    once, again = (train(few, epochs=1, seed=3).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(once[name], again[name]) for name in once)
