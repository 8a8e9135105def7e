"""Python imports this at its start where PYTHONPATH names its directory: in the processes that tests start."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def _machine():
    """`tests.machine`, without its package: the process may have other tests."""
    source = Path(__file__).parents[1] / "__init__.py"
    spec = importlib.util.spec_from_file_location("_saliency_tests_machine", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_machine().play()
