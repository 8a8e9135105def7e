"""`python -m tests.mutation`: planted faults and mutants of other libraries, both; `--write` and `--resume` as theirs.

Each can be run alone, with more to choose: `python -m tests.mutation.faults`, `python -m tests.mutation.libraries`.
"""

from __future__ import annotations

import argparse

from tests.mutation import faults, libraries

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store outcomes, and write the manual's tables")
    parser.add_argument("--resume", action="store_true", help="leave out what is stored; with --write")
    given = parser.parse_args()
    options = [f"--{name}" for name, wanted in vars(given).items() if wanted]
    libraries.main(options)
    faults.main(options)
