"""The command line that the calibrations of the sensitivity checks share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pytest_saliency_sanity import check_model_sensitivity
from tests.calibration.confirmation import confirm, renew, write
from tests.calibration.one_sided import FAULTY as ONE_SIDED_FAULTY
from tests.calibration.one_sided import HONEST as ONE_SIDED_HONEST
from tests.calibration.published import LIMIT, TABLES
from tests.calibration.tables import errors, matrix, rates, table
from tests.calibration.trials import GROUPS, HONEST, IMAGES, MIXTURES, SIGNED, Calibration, run


def add_publishing(parser: argparse.ArgumentParser) -> None:
    """The options by which a command renews its table in the manual, whatever else it is given."""
    parser.add_argument(
        "--write", action="store_true", help="compute the manual's table, store it, write it into the page"
    )
    parser.add_argument(
        "--confirm",
        nargs="?",
        type=int,
        const=0,
        metavar="N",
        help="compute N random places of the stored table again, and if nothing changed, stamp it with today's code",
    )
    parser.add_argument(
        "--renew",
        nargs="+",
        metavar="EXPLAINER",
        help="compute the trials of these explainers anew, and store them in place of what was",
    )


def published(name: str, given: argparse.Namespace) -> bool:
    """Whether the command line asked for the manual's table; it is then there.

    Raises:
        SystemExit: if what is stored is not what comes out now.
    """
    if given.write:
        write(TABLES[name], given.jobs)
    if given.renew:
        renew(TABLES[name], given.renew, given.jobs)
    if given.confirm is not None:
        confirm(TABLES[name], given.confirm or None, given.jobs)
    return given.write or given.confirm is not None or bool(given.renew)


def choices(description: str) -> argparse.ArgumentParser:
    """What the calibrations that try explainers on networks let one choose."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--group", choices=GROUPS, default="evaluation")
    parser.add_argument("--networks", nargs="*", help="default: all of the group")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--explainers", nargs="*", help="default: all")
    parser.add_argument("--jobs", type=int, default=2)
    return parser


def chosen(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says."""
    given = parser.parse_args()
    given.networks = given.networks or GROUPS[given.group]
    return given


def of_checks(name: str, module: Any) -> argparse.Namespace | None:
    """What the command line of a table of several checks asks for; None where it published the table of that name.

    Args:
        module: with CHECKS, NETWORKS, SEEDS and EXPLAINERS, the choices, and a docstring.
    """
    parser = argparse.ArgumentParser(
        description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", nargs="*", default=list(module.CHECKS), choices=module.CHECKS)
    parser.add_argument("--networks", nargs="*", default=list(module.NETWORKS), choices=module.NETWORKS)
    parser.add_argument("--seeds", nargs="*", type=int, default=list(module.SEEDS))
    parser.add_argument("--explainers", nargs="*", default=list(module.EXPLAINERS))
    parser.add_argument("--jobs", type=int, default=1)
    add_publishing(parser)
    given = parser.parse_args()
    return None if published(name, given) else given


def report(name: str, calibration: Calibration) -> None:
    """Run the trials that the command line asks for and print the tables, or publish the table of that name."""
    parser = choices(calibration.check.__doc__.splitlines()[0])
    add_publishing(parser)
    given = chosen(parser)
    if published(name, given):
        return
    names = given.explainers or calibration.names()
    mixtures = [] if given.explainers else list(MIXTURES)
    trials = run(
        calibration.check, [*names, *mixtures], given.networks, given.seeds, given.jobs, calibration.setting
    )
    print(
        f"{name}: {', '.join(given.networks)}; seeds {', '.join(map(str, given.seeds))}; "
        f"{IMAGES} digits or 16 photographs\n"
    )
    print(table(trials, names), "\n")
    print(matrix(trials, names, given.networks), "\n")
    print(errors(trials, SIGNED, HONEST, calibration.faulty), "\n")
    if mixtures:
        print(LIMIT)
        print(table(trials, mixtures))


def report_rates(name: str, wanted: Sequence[str], seeds: Sequence[int]) -> None:
    """The same for maps of one sign: outcomes, and rates with their bounds."""
    parser = choices(f"How explainers fare whose maps have one sign: {name}.")
    parser.set_defaults(seeds=list(seeds))
    add_publishing(parser)
    given = chosen(parser)
    if published(name, given):
        return
    names = given.explainers or list(wanted)
    trials = run(check_model_sensitivity, names, given.networks, given.seeds, given.jobs)
    print(table(trials, names), "\n")
    print(matrix(trials, names, given.networks), "\n")
    print(rates(trials, ONE_SIDED_HONEST, ONE_SIDED_FAULTY))
