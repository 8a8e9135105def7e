"""Hashes of code: joblib, cloudpickle, dill."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pytest_saliency_sanity.trained_networks.fingerprints import code_fingerprint
from tests.trained_networks import test_fingerprints


def _by_joblib(subject: Any) -> str:
    return importlib.import_module("joblib").hash(subject)


def _by_cloudpickle(subject: Any) -> str:
    cloudpickle = importlib.import_module("cloudpickle")
    for name in ("zz_trainer", "zz_helpers"):
        cloudpickle.register_pickle_by_value(sys.modules[name])
    return hashlib.sha256(cloudpickle.dumps(subject)).hexdigest()


def _by_dill(subject: Any) -> str:
    return hashlib.sha256(importlib.import_module("dill").dumps(subject, recurse=True)).hexdigest()


HASHES: dict[str, Callable[[Any], str]] = {
    "joblib.hash": _by_joblib,
    "cloudpickle": _by_cloudpickle,
    "dill": _by_dill,
    "code_fingerprint": code_fingerprint,
}


def hashes(module: Any, by: Callable[[Any], str]) -> dict[str, str]:
    """By subject of the tests its hash, or the error's name."""
    found = {}
    for name in test_fingerprints.SUBJECTS:
        try:
            found[name] = by(getattr(module, name))
        except Exception as error:
            found[name] = type(error).__name__
    return found


def missed_and_imagined(name: str) -> str:
    """What a hash makes of the changes in tests/trained_networks/test_fingerprints.py, and of no change."""
    trainer, helpers, by = test_fingerprints.TRAINER, test_fingerprints.HELPERS, HASHES[name]
    before = hashes(_loaded(), by)
    again = _differing(before, hashes(_loaded(), by))
    missed, imagined, total = 0, 0, 0
    for old, new, names in _changes():
        after = hashes(_loaded(trainer.replace(old, new), helpers.replace(old, new)), by)
        changed = _differing(before, after)
        missed, imagined, total = (
            missed + len(names - changed),
            imagined + len(changed - names),
            total + len(names),
        )
    return (
        f"{name} misses {missed} of {total} changes, sees {imagined} where nothing changed; from another folder "
        f"{len(again)} of {len(before)} differ"
    )


def _differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def _changes() -> list[tuple[str, str, set[str]]]:
    tests = (
        test_fingerprints.test_a_change_of_the_trainer_shows,
        test_fingerprints.test_a_change_of_the_users_module_shows,
    )
    cases = [case for test in tests for case in test.pytestmark[0].args[1]]
    return [getattr(case, "values", case) for case in cases]


_DIRECTORY, _COUNT = Path(tempfile.mkdtemp()), itertools.count()


def _loaded(trainer: str = test_fingerprints.TRAINER, helpers: str = test_fingerprints.HELPERS) -> Any:
    directory = _DIRECTORY / str(next(_COUNT))
    directory.mkdir()
    (directory / "zz_trainer.py").write_text(trainer)
    (directory / "zz_helpers.py").write_text(helpers)
    sys.path.insert(0, str(directory))
    for name in ("zz_trainer", "zz_helpers"):
        sys.modules.pop(name, None)
    return importlib.import_module("zz_trainer")


MEASURES = tuple(partial(missed_and_imagined, name) for name in HASHES)
