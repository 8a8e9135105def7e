"""The command that repeats a test, as a message shows it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pytest_saliency_sanity.plugin.command_line import CommandLineItem, replayed_flags
from pytest_saliency_sanity.settings import REMARK, Settings

# Long options of pytest and of plugins that only run or report, which select no test and change no verdict.
_OF_PYTEST = frozenset(
    """
    --maxfail --exitfirst --strict --strict-config --strict-markers --verbose --quiet --verbosity --tb
    --show-capture --full-trace --color --code-highlight --durations --durations-min --junitxml --junit-xml
    --junitprefix --junit-prefix --capture --showlocals --no-showlocals --no-header --no-summary
    --no-fold-skipped --disable-warnings --disable-pytest-warnings --pastebin --cache-show --cache-clear --lf
    --last-failed --ff --failed-first --nf --new-first --lfnf --last-failed-no-failures --sw --stepwise
    --sw-skip --stepwise-skip --sw-reset --stepwise-reset --collect-only --co --pyargs --ignore --ignore-glob
    --deselect --confcutdir --noconftest --keepduplicates --keep-duplicates --collect-in-virtualenv --basetemp
    --version --help --trace-config --debug --override-ini --assert --setup-only --setup-show --setup-plan
    --log-level --log-format --log-date-format --log-cli-level --log-file --log-file-level --log-auto-indent
    --log-disable --doctest-modules --doctest-glob --doctest-report --doctest-ignore-import-errors
    --doctest-continue-on-failure --import-mode --rootdir --config-file --pdb --pdbcls --trace --fixtures
    --fixtures-per-test --markers --runxfail --xfail-tb --force-short-summary --pythonwarnings --numprocesses
    --dist --tx --maxprocesses --max-worker-restart --maxschedchunk --looponfail --rsyncdir --cov --cov-report
    --cov-fail-under --no-cov --cov-append --cov-branch --cov-config --cov-context --html
    --self-contained-html --css --reruns --reruns-delay --only-rerun --timeout --timeout-method --count
    --splits --group --splitting-algorithm --durations-path --store-durations --clean-durations --forked
    --randomly-seed
    """.split()  # noqa: SIM905 - several per line
)


def replay_command(item: pytest.Item, base: Settings) -> str:
    """The command that repeats this test with these settings; a check adds its seed, before a remark."""
    repeated, open_ones = _own_options(item.config)
    words = ["pytest", *_place(item), *_selection(item.config), *repeated, *_flags(base)]
    remark = f"{REMARK}add {', '.join(open_ones)} as in that run" if open_ones else ""
    return " ".join(words) + remark


def _place(item: pytest.Item) -> list[str]:
    """What makes pytest collect the test: its address, or the flags that it stands in."""
    if isinstance(item, CommandLineItem):
        return [*replayed_flags(item.config), f'-k "{item.name}"']
    return [_quoted(_address(item))]


def _address(item: pytest.Item) -> str:
    """The node id as it must be typed where pytest was started; `item.nodeid` is relative to the rootdir."""
    try:
        path = os.path.relpath(item.path, item.config.invocation_params.dir)
    except ValueError:  # another drive
        path = str(item.path)
    _, separator, name = item.nodeid.partition("::")
    return path + separator + name


def _quoted(text: str) -> str:
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _selection(config: pytest.Config) -> Iterator[str]:
    """What makes pytest find this test again: the rootdir and options in force, no deselection."""
    if config.getoption("rootdir"):
        yield f"--rootdir {_quoted(str(config.getoption('rootdir')))}"
    if config.getoption("inifilename"):
        yield f"-c {_quoted(str(config.getoption('inifilename')))}"
    yield from _collecting(config)
    yield from _drawn(config)
    given = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    yield from (f'{flag} ""' for flag in ("-m", "-k") if any(_sets(word, flag) for word in given))


def _collecting(config: pytest.Config) -> Iterator[str]:
    """The options of this run that decide what is collected, and that the project's addopts do not give anyway."""
    present = set(config.getini("addopts"))
    for value in dict.fromkeys(config.getoption("override_ini", None) or ()):
        if value not in present and f"-o{value}" not in present and f"--override-ini={value}" not in present:
            yield f"-o {_quoted(value)}"
    for name in config.getoption("plugins", None) or ():
        if not name.startswith("no:") and name not in present and f"-p{name}" not in present:
            yield f"-p {_quoted(name)}"
    if config.getoption("doctestmodules", False) and "--doctest-modules" not in present:
        yield "--doctest-modules"
    for value in config.getoption("doctestglob", None) or ():
        if value not in present and f"--doctest-glob={value}" not in present:
            yield f"--doctest-glob {_quoted(value)}"
    mode = config.getoption("importmode", "prepend")
    if mode != "prepend" and mode not in present and f"--import-mode={mode}" not in present:
        yield f"--import-mode {mode}"


def _drawn(config: pytest.Config) -> Iterator[str]:
    """The seed that pytest-randomly draws where none is given: the project's own random numbers come from it."""
    seed = config.getoption("randomly_seed", None)
    if isinstance(seed, int):
        yield f"--randomly-seed {seed}"


def _sets(word: str, flag: str) -> bool:
    """Whether a word of the command line is the flag, alone, with its value, or behind others (`-qm`)."""
    short = re.match(r"-[a-zA-Z]+", word)
    return (
        short is not None
        and not word.startswith(("--", "-r", "-o", "-p", "-W", "-c", "-n"))
        and flag[1] in short[0]
    )


def _own_options(config: pytest.Config) -> tuple[list[str], list[str]]:
    """Options that pytest does not know by itself: those that can be repeated, and those whose value is not known.

    A project may have a flag such as --runslow without which a test is skipped; one that comes before a word may be
    a flag and the word a directory, or an option and the word its value.
    """
    words = _typed(config)
    known: list[str] = []
    unknown: list[str] = []
    for place, word in enumerate(words, 1):
        following = words[place] if place < len(words) else "-"
        name = word.partition("=")[0]
        if not word.startswith("--") or name.startswith("--saliency-") or name in _OF_PYTEST:
            continue
        complete = "=" in word or following.startswith("-") or _is_place(config, following)
        (known if complete else unknown).append(_quoted(word) if "=" in word else name)
    return known, unknown


def _typed(config: pytest.Config) -> list[str]:
    """The words after `pytest`, in the controller where this process is a worker."""
    worker = getattr(config, "workerinput", None)
    return list(worker.get("mainargv", ())[1:] if worker else map(str, config.invocation_params.args))


def _is_place(config: pytest.Config, word: str) -> bool:
    return "::" in word or (config.invocation_params.dir / word).exists()


def _flags(base: Settings) -> Iterator[str]:
    given: Mapping[str, Any] = {
        "profile": base.profile,
        "inconclusive": base.inconclusive,
        "max-seconds": base.max_seconds,
    }
    for name, value in given.items():
        if value is not None:
            yield f"--saliency-{name} {value}"
