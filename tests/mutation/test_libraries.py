"""Mutants of captum and zennit: what is stored, the page that shows it, and some of them tried again."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest

from tests.calibration import pages
from tests.manual import ROOT
from tests.mutation import libraries, library_tables
from tests.mutation.methods import METHODS
from tests.mutation.reasons import REASONS

STORED = libraries.load()
ENOUGH = {"captum": 100, "zennit": 30}


def outcomes(library: str) -> Counter[str]:
    return Counter(
        one["outcome"] for name, one in STORED["mutants"].items() if name.startswith(f"{library}/")
    )


@pytest.mark.parametrize("library", ENOUGH)
def test_enough_mutants_have_been_tried(library: str) -> None:
    found = outcomes(library)
    assert found.total() == libraries.DRAWN[library]
    assert found.total() - found["equivalent"] >= ENOUGH[library]
    assert set(found) <= set(library_tables.OUTCOMES)


def test_every_method_has_been_judged_unchanged() -> None:
    assert STORED["right"].keys() == METHODS.keys()


def test_the_page_shows_what_is_stored() -> None:
    shown = pages.blocks(libraries.PAGE.read_text(encoding="utf-8"))
    assert {
        name: text for name, text in shown.items() if name.startswith("libraries.")
    } == libraries.rendered(STORED)


def test_each_that_is_not_caught_has_its_reason() -> None:
    uncaught = {
        library_tables.place_of(name)
        for name, one in STORED["mutants"].items()
        if one["outcome"] in ("open", "escaped")
    }
    assert uncaught == REASONS.keys()


@pytest.mark.extended
def test_a_sample_comes_out_again() -> None:
    """In a process of its own, which has not imported the libraries; where their versions are those that are stored."""
    for library, release in STORED["versions"].items():
        if pytest.importorskip(library).__version__ != release and library == "captum":
            pytest.skip(f"stored of {library} {release}")
    names = random.Random(0).sample(sorted(STORED["mutants"]), 8)
    command = [sys.executable, "-m", "tests.mutation.libraries", "--again", *names]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
