from __future__ import annotations

import pytest
import torch

from tests.digits import Digits, held_out_digits, train_digits
from tests.networks import DEVELOPMENT, EVALUATION, accuracy, fit, train
from tests.networks.training import NETWORKS


def test_no_kind_of_network_is_both_chosen_and_measured_on():
    assert not set(EVALUATION) & set(DEVELOPMENT)
    assert not set(EVALUATION.values()) & set(DEVELOPMENT.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_small_and_reads_digits(name):
    model = NETWORKS[name]().eval()
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) < 300_000


def test_splits_share_no_digit():
    trained_on = {image.numpy().tobytes() for image in train_digits().images}
    assert not any(image.numpy().tobytes() in trained_on for image in held_out_digits().images)


def test_trained_networks_of_a_seed_are_equal_but_not_shared():
    once, again, other = train("mlp", seed=0), train("mlp", seed=0), train("mlp", seed=1)
    assert not once.training
    for parameter, same, different in zip(*(m.parameters() for m in (once, again, other)), strict=True):
        assert torch.equal(parameter, same)
        assert parameter.data_ptr() != same.data_ptr()
        assert not torch.equal(parameter, different)


@pytest.mark.parametrize("name", ["mobile_net", "vision_transformer"])
def test_training_repeats_bit_by_bit_on_any_number_of_threads(name):
    digits = Digits(*(part[:32] for part in train_digits()))
    initial = NETWORKS[name]().state_dict()
    outcomes = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            model = NETWORKS[name]()
            model.load_state_dict(initial)
            outcomes.append(fit(model, digits, seed=3).state_dict())
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*(outcome.values() for outcome in outcomes), strict=True))


def test_training_leaves_the_random_state():
    before = torch.get_rng_state()
    train("mlp", seed=2)
    fit(NETWORKS["lenet"](), Digits(*(part[:32] for part in train_digits())))
    after_construction = torch.get_rng_state()
    torch.set_rng_state(before)
    NETWORKS["lenet"]()
    assert torch.equal(torch.get_rng_state(), after_construction)


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_held_out_digits_are_read(name, seed):
    assert accuracy(train(name, seed), held_out_digits()) >= 0.92
