"""What a trained network depends on, as short hashes that are the same in every process.

Code is followed as far as it is the user's: from a function to the functions, classes and constants that it names.
The standard library and installed packages count by name (`versions` tells which they were).

Ours, as joblib.hash misses 44 of the 48 changes that the tests make to a trainer, dill 41, and cloudpickle's bytes
change with the folder (`python -m tests.benchmarks.libraries fingerprints`).
"""

from pytest_saliency_sanity.trained_networks.fingerprints.keys import combined, versions
from pytest_saliency_sanity.trained_networks.fingerprints.models import (
    model_fingerprint,
    state_fingerprint,
    without_addresses,
)
from pytest_saliency_sanity.trained_networks.fingerprints.transcript import code_fingerprint
from pytest_saliency_sanity.trained_networks.fingerprints.values import tensor_fingerprint

__all__ = [
    "code_fingerprint",
    "combined",
    "model_fingerprint",
    "state_fingerprint",
    "tensor_fingerprint",
    "versions",
    "without_addresses",
]
