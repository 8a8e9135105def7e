"""What the user sets: flags, then `[tool.saliency_sanity]`, then `saliency_*` keys of pytest, then defaults.

The table is that of the rootdir's pyproject.toml, the keys those of pytest's own file of options.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.plugin import progress
from pytest_saliency_sanity.settings import INCONCLUSIVE, PROFILES, Settings, SettingsError

_TABLE = "saliency_sanity"
_TRUTH = {"true": True, "false": False}
_READ: Mapping[str, Callable[[str], Any]] = {
    "seed": int,
    "profile": str,
    "inconclusive": str,
    "max_seconds": float,
    "cache": str,
    "min_verdicts": int,
    "junit": lambda text: _TRUTH.get(text.lower(), text),
    "pictures": lambda text: _TRUTH.get(text.lower(), text),
    "artifacts": str,
    "baseline": str,
}
_WITHOUT_FLAG = ("junit", "pictures")
_CLEAR = "--saliency-cache-clear"


def add(parser: pytest.Parser) -> None:
    """Register flags and keys; their values stay text until `resolved`, which words every mistake alike."""
    for name in settings.SETTABLE:
        _add_key(parser, name)
    group = parser.getgroup("saliency-sanity", "sanity checks of saliency maps")
    group.addoption(flag("seed"), metavar="N", help="seed of every check that is not given one (default: 0)")
    group.addoption(
        flag("profile"),
        metavar="|".join(PROFILES),
        help="how much evidence a check gathers before it is inconclusive (default: ci)",
    )
    group.addoption(
        flag("inconclusive"),
        metavar="|".join(INCONCLUSIVE),
        help="what an inconclusive verdict does to its test (default: skip in the profile smoke, else fail)",
    )
    group.addoption(
        flag("max_seconds"),
        metavar="SECONDS",
        help="time budget of one check; when it is used up, the verdict is inconclusive (default: the profile's)",
    )

    group.addoption(
        flag("cache"),
        metavar="DIR",
        help="where trained networks are kept: a directory, or the URL of an object store, such as "
        "s3://bucket/folder (default: in pytest's cache directory)",
    )
    group.addoption(
        flag("min_verdicts"),
        metavar="N",
        help="fail the run where fewer checks than this passed or failed, expected failures included (default: 0)",
    )
    group.addoption(
        flag("artifacts"),
        metavar="DIR",
        help="where the maps behind each verdict that is not a pass are written, as a PNG file each (default: nowhere)",
    )
    group.addoption(_CLEAR, action="store_true", help="remove the trained networks before the run")


def _add_key(parser: pytest.Parser, name: str) -> None:
    given = (f"saliency_{name}", f"as {'the table’s ' + name if name in _WITHOUT_FLAG else flag(name)}")
    try:
        # pytest.toml has numbers, which the types of pytest leave out.
        parser.addini(*given, type=str | int | float, default=None)
    except (AssertionError, KeyError, TypeError, ValueError):  # an earlier pytest
        parser.addini(*given, type="string", default="")  # where it is None, pytest 7 says []


def flag(name: str) -> str:
    """The command-line flag of a setting: "max_seconds" is --saliency-max-seconds."""
    return f"--saliency-{name.replace('_', '-')}"


def resolved(config: pytest.Config) -> Settings:
    """The settings of this run.

    Raises:
        pytest.UsageError: for an unknown key or an impossible value.
    """
    defaults = Settings(cache=_within_pytest_cache(config), progress=progress.stream(config))
    in_ini = _with_ini(defaults, config)
    in_file = _with_file(in_ini, config.rootpath / "pyproject.toml")
    in_file = replace(
        in_file,
        cache=_from_root(config, in_file.cache),
        artifacts=in_file.artifacts and config.rootpath / in_file.artifacts,
        baseline=in_file.baseline and config.rootpath / in_file.baseline,
    )
    names = [name for name in settings.SETTABLE if name not in _WITHOUT_FLAG]
    flags = {name: config.getoption(flag(name)) for name in names}
    if flags["baseline"] == "":  # lifts the project's for this run
        in_file, flags["baseline"] = replace(in_file, baseline=None), None
    found = _with_flags(in_file, flags)
    # A test may go to another directory.
    return replace(found, artifacts=found.artifacts and Path(found.artifacts).absolute())


def _from_root(config: pytest.Config, cache: str | Path | None) -> str | Path | None:
    return cache if cache is None or settings.is_url(cache) else config.rootpath / cache


def clear_cache(config: pytest.Config, directory: str | Path | None) -> None:
    """Remove the trained networks, if the user asks for it."""
    if config.getoption(_CLEAR) and directory is not None:
        from pytest_saliency_sanity.trained_networks import store

        store.clear(store.folder(directory))


def _within_pytest_cache(config: pytest.Config) -> Path | None:
    """Beside what pytest's own `cache.mkdir` makes, so that --cache-clear removes it too."""
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return None
    place: str = os.path.expanduser(os.path.expandvars(config.getini("cache_dir")))
    return config.rootpath / place / "d" / "saliency"


def _with_ini(base: Settings, config: pytest.Config) -> Settings:
    for name in settings.SETTABLE:
        given = config.getini(f"saliency_{name}")
        try:
            base = settings.overridden(base, **{name: _value(name, given if given != "" else None)})
        except SettingsError as error:
            raise pytest.UsageError(f"{config.inipath or 'ini'}: saliency_{name}: {error}") from None
    return base


def _with_file(defaults: Settings, path: Path) -> Settings:
    origin = f"{path}: [tool.{_TABLE}]"
    try:
        return settings.overridden(defaults, **settings.known(_table(path), origin))
    except SettingsError as error:
        text = str(error)
        raise pytest.UsageError(text if text.startswith(origin) else f"{origin}: {text}") from None


def _with_flags(base: Settings, flags: Mapping[str, str | None]) -> Settings:
    for name, text in flags.items():
        try:
            base = settings.overridden(base, **{name: _value(name, text)})
        except SettingsError as error:
            raise pytest.UsageError(f"{flag(name)}: {error}") from None
    return base


def _value(name: str, text: Any) -> Any:
    try:
        return _READ[name](text) if isinstance(text, str) else text
    except ValueError:
        return text  # not a number: the settings say what it should have been


def _table(path: Path) -> dict[str, Any]:
    """The file's `[tool.saliency_sanity]`; empty when there is no file or no table."""
    if not path.is_file():
        return {}
    tool = _toml(path).get("tool", {})
    table = tool.get(_TABLE, {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise pytest.UsageError(f"{path}: tool.{_TABLE} must be a table, not {table!r}")
    return table


def _toml(path: Path) -> dict[str, Any]:
    """What the file says; nothing where it cannot be read, as pytest has not read it either, or it had complained."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError):
        return {}
