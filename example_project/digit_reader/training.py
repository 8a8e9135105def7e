"""Training and accuracy. `python -m digit_reader.training` trains and prints how good the model is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from digit_reader.data import Digits, load_digits
from digit_reader.model import DigitClassifier

BATCH = 50


def train(digits: Digits, *, epochs: int = 8, seed: int = 0) -> DigitClassifier:
    """A classifier trained on `digits`, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = DigitClassifier().train()
        optimizer = torch.optim.Adam(model.parameters())
        steps = epochs * -(-len(digits.labels) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
        for _ in range(epochs):
            for batch in torch.randperm(len(digits.labels)).split(BATCH):
                loss = F.cross_entropy(model(_shifted(digits.images[batch])), digits.labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return model.eval()


def accuracy(model: DigitClassifier, digits: Digits) -> float:
    """The fraction of `digits` that is read right."""
    with torch.no_grad():
        return (model(digits.images).argmax(1) == digits.labels).float().mean().item()


def _shifted(images: Tensor) -> Tensor:
    """The batch moved by up to two pixels: nobody writes in the middle of the box."""
    down, right = torch.randint(-2, 3, (2,)).tolist()
    return torch.roll(images, (down, right), dims=(2, 3))


if __name__ == "__main__":
    trained = train(load_digits("train"))
    print(f"{accuracy(trained, load_digits('held_out')):.1%} of the held-out digits are read right")
