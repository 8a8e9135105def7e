"""The package repeats itself no more than it did."""

from __future__ import annotations

from tests import repetition

TWICE = """
def one(a, b):
    c = a + b
    if c > 3:
        return c * 2
    d = c - 1
    for e in range(d):
        print(e)
    return d
"""


def test_no_passage_is_long_and_there_are_no_more_of_them() -> None:
    found = repetition.of_the_package()
    assert max(length for *_, length in found) <= repetition.LONGEST, found[0]
    assert len(found) <= repetition.MOST, found


def test_other_names_and_values_are_no_difference() -> None:
    other = TWICE.replace("one", "two").replace("a + b", "b + a").replace("3", "5").replace('"""', "")
    assert [length for *_, length in repetition.passages({"one.py": TWICE, "two.py": other})] == [8]


def test_other_words_are() -> None:
    other = TWICE.replace("if c > 3", "while c < 3")
    assert list(repetition.passages({"one.py": TWICE, "two.py": other})) == []
