"""`python -m tests.calibration [NAME ...]`: has the manual's tables confirmed by today's code, or computed as a whole.

A random part of each stored table is computed again: about 10 minutes in all. If the outcomes are the same and the
statistics within .03, the table is stamped with the fingerprint of today's code, and the page says how much of it this
code computed. `--write` computes everything, which takes more than an hour on one core.
"""

from __future__ import annotations

import argparse

from tests.calibration.confirmation import confirm, write
from tests.calibration.published import TABLES

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.calibration", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)} (default: all)")
    parser.add_argument("--write", action="store_true", help="compute whole tables")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    for name in given.names or TABLES:
        (write if given.write else confirm)(TABLES[name], jobs=given.jobs)
