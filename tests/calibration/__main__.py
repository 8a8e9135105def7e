"""`python -m tests.calibration [NAME ...]`: has the manual's tables confirmed by today's code, or computed as a whole.

A random part of each stored table is computed again: about 10 minutes in all. If the outcomes are the same and the
statistics within .03, the table is stamped with the fingerprint of today's code, and the page says how much of it this
code computed. `--write` computes everything, which takes more than an hour on one core. `--all` computes the table of
all error rates (see `whole`), and `--resume` goes on with it where a run was cut off; the name `whole` confirms it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from tests import machine
from tests.calibration import pages, whole, whole_tables
from tests.calibration.confirmation import confirm, write
from tests.calibration.published import PAGE, TABLES


def all_of_it(resume: bool, jobs: int) -> None:
    """Compute every trial of `whole`, store the outcomes, write the page and print its tables."""
    file = whole.progress_file()
    if not resume:
        file.unlink(missing_ok=True)
    outcomes = whole.compute(whole.keys(), jobs, file)
    stored = whole.Stored(outcomes, whole.judged_by(), machine.fingerprint())
    whole.save(stored)
    blocks = whole_tables.rendered(stored)
    pages.write(PAGE, blocks)
    print("\n\n".join(blocks.values()))


def confirm_all_of_it(jobs: int) -> None:
    """Compute a sample of `whole` again; if no verdict has turned, stamp it with today's code."""
    stored = whole.load()
    found = whole.compute(whole.sample(stored), jobs, whole.progress_file())
    if changed := whole.turned(stored.outcomes, found):
        raise SystemExit("\n".join([*changed, f"it has changed; run {whole.COMMAND}"]))
    whole.save(replace(stored, fingerprint=whole.judged_by()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.calibration", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}, {whole.NAME} (default: all)"
    )
    parser.add_argument("--write", action="store_true", help="compute whole tables")
    parser.add_argument("--all", action="store_true", help="compute the table of all error rates")
    parser.add_argument("--resume", action="store_true", help="with --all: what was computed before counts")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    if given.all:
        all_of_it(given.resume, given.jobs)
    else:
        for name in given.names or (*TABLES, whole.NAME):
            if name == whole.NAME:
                confirm_all_of_it(given.jobs)
            else:
                (write if given.write else confirm)(TABLES[name], jobs=given.jobs)
