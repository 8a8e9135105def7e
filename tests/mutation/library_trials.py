"""One mutant of a library: are its maps still the same, and if not, what does the kit say?"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity import Case
from pytest_saliency_sanity.adapters import adapted
from pytest_saliency_sanity.errors import NotApplicable
from tests.mutation.judged import Found, convicting, judged
from tests.mutation.methods import METHODS, Method

NEEDED = 2  # networks on which it has to fail
COMPARED = 6  # images whose maps are compared
APART = 1e6  # where one has no map, or another shape, or no numbers
ROUNDING = 1e-5  # relative to the map's largest value
Cases = Mapping[str, Mapping[str, Case]]  # by network and place
STAGES: Sequence[Mapping[str, Sequence[str]]] = (  # the cheap ones first; what is caught is not asked further
    {"digits": ("contract",)},
    {"digits": ("model_sensitivity", "target_sensitivity")},
    {"planted": ("contract", "occlusion_sensitivity", "localization")},
    {"digits": ("consistency", "insertion_deletion", "occlusion_sensitivity", "data_sensitivity")},
)


def everything(method: Method, cases: Mapping[str, Case]) -> dict[str, Found]:
    """All that the kit says of an unchanged method on a network."""
    found: dict[str, Found] = {}
    for cells in _staged(method, cases):
        found |= cells
    return found


def maps(method: Method, case: Case) -> Tensor | None:
    """The maps of a few images, on a copy of the model; None where the method does not exist for it."""
    model = copy.deepcopy(case.model)
    torch.manual_seed(0)
    import numpy as np

    np.random.seed(0)
    try:
        found = adapted(method.make(model))(model, case.inputs[:COMPARED], case.labels[:COMPARED])
    except NotApplicable:
        return None
    return torch.as_tensor(found).detach()


def covered(method: Method, cases: Cases, copy_: Path) -> dict[str, list[int]]:
    """By file of the copy the lines that run when the method makes its maps."""
    lines: dict[str, set[int]] = {}

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(str(copy_)):
            return None
        if event == "line":
            lines.setdefault(str(Path(path).relative_to(copy_)), set()).add(frame.f_lineno)
        return trace

    for case in (of_network["digits"] for of_network in cases.values()):
        maps(method, case)  # imports first: what runs at import is not what makes maps
        sys.settrace(trace)
        try:
            maps(method, case)
        finally:
            sys.settrace(None)
    return {file: sorted(found) for file, found in lines.items()}


def distances(method: Method, cases: Cases, right: Mapping[str, Tensor | None]) -> dict[str, float | str]:
    """By network the largest distance from the unchanged method's maps, or what is raised."""
    found: dict[str, float | str] = {}
    for network, of_network in cases.items():
        try:
            found[network] = _distance(maps(method, of_network["digits"]), right[network])
        except Exception as error:
            found[network] = f"{type(error).__name__}: {error}"[:200]
    return found


def trial(
    names: Sequence[str], cases: Cases, right_maps: Mapping[str, Mapping[str, Tensor | None]],
    right: Mapping[str, Mapping[str, Mapping[str, Found]]],
) -> dict[str, Any]:  # fmt: skip
    """What becomes of a mutant, through the first of these methods whose maps it changes."""
    for name in names:
        found = distances(METHODS[name], cases, right_maps[name])
        if sum(isinstance(one, str) for one in found.values()) >= NEEDED:
            return {
                "outcome": "broken",
                "method": name,
                "by": {n: one for n, one in found.items() if isinstance(one, str)},
            }
        differing = [n for n, one in found.items() if isinstance(one, str) or one > ROUNDING]
        if differing:
            return {
                "method": name,
                "distances": found,
                **_judged(METHODS[name], cases, right[name], differing),
            }
    return {"outcome": "equivalent", "method": names[0]}


def _judged(
    method: Method, cases: Cases, right: Mapping[str, Mapping[str, Found]], networks: Sequence[str]
) -> dict[str, Any]:
    by: dict[str, list[str]] = {}
    unsure: dict[str, list[str]] = {}
    for network in networks:
        for cells in _staged(method, cases[network]):
            if convicted := convicting(cells, right[network]):
                by[network] = convicted
                break
            doubtful = [
                c
                for c, one in cells.items()
                if one.outcome in ("inconclusive", "refused") and right[network][c].outcome == "pass"
            ]
            unsure[network] = unsure.get(network, []) + doubtful
        if len(by) >= NEEDED:
            return {"outcome": "caught", "by": by}
    open_ = sum(bool(unsure.get(network)) or network in by for network in networks) >= NEEDED
    return {"outcome": "open" if open_ else "escaped", "by": by, "inconclusive": unsure}


def _staged(method: Method, cases: Mapping[str, Case]) -> Iterator[dict[str, Found]]:
    for number, checks in enumerate(STAGES):
        for place, names in checks.items():
            case = cases[place]
            model = copy.deepcopy(case.model)
            made = {place: _with(case, model)}
            yield judged(
                lambda m=model: method.make(m), made, {} if number else method.axioms, {place: names}
            )


def _with(case: Case, model: Any) -> Case:
    import dataclasses

    return dataclasses.replace(case, model=model)


def _distance(found: Tensor | None, right: Tensor | None) -> float:
    if found is None or right is None:
        return 0.0 if found is right else APART
    if found.shape != right.shape:
        return APART
    largest = right.abs().max().item()
    distance = (found - right).abs().max().item() / largest
    return min(distance, APART) if distance == distance else APART
