"""A directory of trained networks, where nothing is ever unpickled: a cache may come from elsewhere.

Ours, as joblib.Memory and diskcache run the code of a planted pickle, and safetensors alone loads 944 of 1,000 files
that have one altered byte (`python -m tests.benchmarks.libraries caches`); the locks are filelock's.
"""

from pytest_saliency_sanity.trained_networks.store.entries import Damaged, Entry, save
from pytest_saliency_sanity.trained_networks.store.locks import Busy, locked
from pytest_saliency_sanity.trained_networks.store.objects import (
    Unreachable,
    clear,
    folder,
    holds,
    load,
    share,
)

__all__ = [
    "Busy",
    "Damaged",
    "Entry",
    "Unreachable",
    "clear",
    "folder",
    "holds",
    "load",
    "locked",
    "save",
    "share",
]
