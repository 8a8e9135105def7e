"""`python -m pytest_saliency_sanity show FILE` and `compare FILE FILE`: reports of earlier runs, read again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_saliency_sanity.report import shown
from pytest_saliency_sanity.report.comparison import compared
from pytest_saliency_sanity.report.document import NotAReport, Report


def main(arguments: Sequence[str] | None = None) -> int:
    """What is asked for; 1 where a comparison finds something worse, 2 for a file that cannot be read."""
    asked = _parser().parse_args(arguments)
    try:
        reports = [Report.read(path) for path in asked.files]
        if asked.command == "show":
            sys.stdout.write(shown.text_of(reports[0], asked.format))
            return 0
        before, after = reports
    except (NotAReport, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    changes = compared(*([entry.recorded for entry in report.entries] for report in (before, after)))
    sys.stdout.write(shown.changes(changes))
    return int(any(change.is_worse for change in changes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_saliency_sanity", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print the verdicts of a JSON report")
    show.add_argument("files", nargs=1, type=Path, metavar="FILE", help="what --saliency-json has written")
    show.add_argument("--format", choices=shown.FORMATS, default="text", help="how (default: text)")
    compare = commands.add_parser("compare", help="print what differs between two JSON reports")
    compare.add_argument("files", nargs=2, type=Path, metavar="FILE", help="the earlier and the later report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
