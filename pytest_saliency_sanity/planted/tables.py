"""Tables with a known answer: a switch says which columns decide the label of a row, among columns that vary more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.planted.checked import check_count, check_share, check_whole

_SPREAD = 0.2  # standard deviation of a column that may decide
_SWITCH = 0.1


@dataclass(frozen=True)
class PlantedTables:
    """Rows and which columns decide the label of each.

    Attributes:
        rows: (N, F) float32.
        labels: (N,) int64.
        masks: (N, F) bool: the switch, and the columns that it lets decide.
    """

    rows: Tensor
    labels: Tensor
    masks: Tensor


def planted_tables(
    count: int, seed: int = 0, *, features: int = 16, classes: int = 3, contrast: float = 2.0
) -> PlantedTables:
    """`count` rows of a table. The same arguments always give the same rows.

    Column 0 is a switch, 1 or -1. Columns 1 to K and K + 1 to 2 K are two blocks with a column for each class: the
    switch says which block decides, and the highest column there is the label. The other block names another class.
    All further columns are noise that varies more. No global random state is read or changed.

    Args:
        count: how many rows.
        seed: seed of the rows; other seeds give other rows of the same table.
        features: F, 2 K + 1 or more.
        classes: K, 2 or more.
        contrast: the standard deviation of the columns that decide nothing, 0 to 10.

    Raises:
        ValueError: for an option outside its range, with the value.
    """
    check_count(count)
    check_whole("classes", classes, 2)
    check_whole("features", features, 2 * classes + 1)
    check_share("contrast", contrast, 0, 10)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % classes)
    others = (labels + random.integers(1, classes, count)) % classes
    second = random.permutation(np.arange(count) % 2)  # whether the second block decides
    rows = random.normal(0, contrast, (count, features))
    rows[:, 0] = 1 - 2 * second + random.normal(0, _SWITCH, count)
    rows[:, 1 : 2 * classes + 1] = random.normal(0, _SPREAD, (count, 2 * classes))
    every = np.arange(count)
    rows[every, 1 + second * classes + labels] += 1
    rows[every, 1 + (1 - second) * classes + others] += 1
    masks = np.zeros((count, features), dtype=bool)
    masks[every[:, None], 1 + second[:, None] * classes + np.arange(classes)] = True
    masks[:, 0] = True
    return PlantedTables(
        torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(labels), torch.from_numpy(masks)
    )
