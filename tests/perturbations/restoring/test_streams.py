from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_saliency_sanity.perturbations.restoring.streams import replayed, stream
from tests.perturbations.state import random_numbers_ahead

KEYS = st.tuples(st.integers(), st.integers(0, 1000), st.text(max_size=12))


def _noise() -> tuple[float, ...]:
    return (*torch.rand(3).tolist(), *np.random.rand(3), random.random())


@given(seed=st.integers())
def test_the_same_seed_replays_the_same_noise_and_moves_nothing(seed):
    before = random_numbers_ahead()
    with replayed(seed):
        first = _noise()
    with replayed(seed + 1):
        assert all(a != b for a, b in zip(first, _noise(), strict=True))
    assert random_numbers_ahead() == before
    _noise()
    with replayed(seed):
        assert _noise() == first


def test_generators_are_given_back_after_an_exception():
    before = random_numbers_ahead()
    with pytest.raises(KeyboardInterrupt), replayed(3):
        _noise()
        raise KeyboardInterrupt
    assert random_numbers_ahead() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_is_replayed_and_given_back():
    torch.rand(1, device="cuda")
    before = torch.cuda.get_rng_state_all()
    with replayed(1):
        first = torch.rand(3, device="cuda")
    with replayed(1):
        assert torch.equal(torch.rand(3, device="cuda"), first)
    assert all(map(torch.equal, before, torch.cuda.get_rng_state_all()))


def test_cuda_is_not_woken():
    awake = torch.cuda.is_initialized()
    with replayed(1):
        pass
    assert torch.cuda.is_initialized() == awake


@given(a=KEYS, b=KEYS)
def test_different_keys_have_different_streams_and_equal_keys_equal_ones(a, b):
    first, second = (torch.rand(4, generator=stream(*key)) for key in (a, b))
    assert torch.equal(first, second) == (a == b)


def test_numpy_integers_are_integers():
    assert torch.equal(
        torch.rand(4, generator=stream(np.int64(5), "a")), torch.rand(4, generator=stream(5, "a"))
    )
    with replayed(np.int64(5)):
        first = _noise()
    with replayed(5):
        assert _noise() == first


def test_streams_leave_the_global_generators_alone():
    before = random_numbers_ahead()
    torch.rand(4, generator=stream(0, 0, "fc.weight"))
    assert random_numbers_ahead() == before
