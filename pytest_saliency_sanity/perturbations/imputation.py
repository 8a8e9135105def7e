"""Noisy linear imputation (ROAD): hidden pixels as weighted means of their neighbors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

DIRECT, DIAGONAL = 1 / 6, 1 / 12  # ROAD's weights of the eight neighbors


def linearly_imputed(image: Tensor, hidden: Tensor) -> Tensor:
    """`image` (C, H, W) with the pixels `hidden` (H, W) imputed linearly, without noise; on the CPU in double.

    Rong et al. 2022 (ROAD), "noisy linear imputation": every hidden pixel is the weighted mean of its eight
    neighbors, 1/6 for direct and 1/12 for diagonal ones, hidden or not; at the border of those there are. The
    sparse linear system of all hidden pixels is solved as a whole.

    Raises ValueError when no pixel is known.
    """
    unknown = hidden.cpu().numpy().ravel()
    if unknown.all():
        raise ValueError(f"linear imputation needs a known pixel, but all {unknown.size} are hidden")
    values = image.detach().cpu().double().flatten(1).numpy().T.copy()
    equations = _mean_of_neighbors(*hidden.shape)[unknown]
    known = equations[:, ~unknown] @ values[~unknown]
    values[unknown] = _factorized(equations[:, unknown].tocsc()).solve(-known)
    return torch.from_numpy(values.T.copy()).view(image.shape)


def _factorized(equations: sparse.csc_matrix) -> Any:
    # The system is symmetric and definite: without pivoting it fills in least, and is solved fastest.
    return splu(equations, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


@lru_cache(maxsize=2)
def _mean_of_neighbors(height: int, width: int) -> sparse.csr_matrix:
    """(P, P) the equations of ROAD, one per pixel: its neighbors, weighted, less itself are 0."""
    (rows, row), (columns, column) = _beside(height), _beside(width)
    direct = sparse.kron(rows, column) + sparse.kron(row, columns)
    weights = DIRECT * direct + DIAGONAL * sparse.kron(rows, columns)
    return (weights - sparse.diags(np.asarray(weights.sum(1)).ravel())).tocsr()


def _beside(side: int) -> tuple[sparse.spmatrix, sparse.spmatrix]:
    """Which of the places 0, 1, … are neighbors, and which are the same."""
    return sparse.diags([np.ones(side - 1)] * 2, [-1, 1], shape=(side, side)), sparse.identity(side)
