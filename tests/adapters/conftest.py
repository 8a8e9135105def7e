"""The network and the images that most of these tests explain; a file may have others of its own."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from tests.adapters.networks import convolutional, images


@pytest.fixture
def model() -> nn.Module:
    return convolutional()


@pytest.fixture
def inputs() -> Tensor:
    return images()
