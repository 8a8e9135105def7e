"""The planted faults: the list, the stored outcomes and the page that shows them, and some of them tried again."""

from __future__ import annotations

import random

import pytest

from tests.calibration import pages
from tests.manual import prose
from tests.mutation import faults, stored, tables
from tests.mutation.judged import judged
from tests.mutation.planted_faults import FAULTS, batches, images, maps, methods, states, targets
from tests.mutation.right import RIGHT
from tests.mutation.scenes import NETWORKS, digits

STORED = stored.load(faults.NAME)
ALL = faults.places()
SURE = tables.without_axioms()


def test_at_least_forty_faults_each_with_a_name_of_its_own() -> None:
    rooms = (targets, maps, images, batches, states, methods)
    assert len(FAULTS) == sum(len(room.FAULTS) for room in rooms) >= 40
    assert not FAULTS.keys() & RIGHT.keys()
    assert {fault.base for fault in FAULTS.values()} <= RIGHT.keys()
    assert all(fault.wrong for fault in FAULTS.values())


def test_every_fault_has_been_tried_on_every_network() -> None:
    assert sorted(STORED) == sorted(ALL)
    assert all(tables.PARITY in STORED[name, network] for name in FAULTS for network in NETWORKS)


def test_the_page_shows_what_is_stored() -> None:
    shown = pages.blocks(faults.PAGE.read_text(encoding="utf-8"))
    assert {name: text for name, text in shown.items() if name.startswith("faults.")} == faults.rendered(
        STORED
    )


def test_nine_of_ten_are_caught() -> None:
    assert len(tables.caught(STORED)) >= 0.9 * len(FAULTS)


def test_each_that_escapes_stands_in_the_page_with_its_reason() -> None:
    text = prose("explanation/mutation")
    assert [name for name in tables.escaped(STORED) if f"**`{name}`**" not in text] == []


@pytest.mark.parametrize("name", ["sign_flipped", "shifted_by_one_pixel", "hook_left"])
def test_one_of_each_sort_is_caught_by_cheap_checks(name: str) -> None:
    """By an axiom, by what is not read, by the contract: as stored."""
    fault = FAULTS[name]
    axioms = {axiom: options for axiom, options in RIGHT[fault.base].axioms.items() if axiom != "input_shift"}
    found = judged(fault.make, {"digits": digits("plain", 8)}, axioms, {"digits": ("contract",)})
    known = STORED[name, "plain"]
    assert {cell: one.outcome for cell, one in found.items()} == {cell: known[cell].outcome for cell in found}
    assert {one.outcome for one in found.values()} & {"fail", "error"}


@pytest.mark.extended
def test_a_sample_comes_out_again() -> None:
    """Whether each is caught; single outcomes near a line differ between processors."""
    names = random.Random(len(FAULTS)).sample(list(FAULTS), 4)
    bases = dict.fromkeys(FAULTS[name].base for name in names)
    found = dict(faults.run(faults.places([*bases, *names]), jobs=2))
    for name in names:
        again = tables.networks_of(name, found) >= tables.NEEDED
        assert again == (name in tables.caught(STORED)), name
