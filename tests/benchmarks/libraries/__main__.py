"""`python -m tests.benchmarks.libraries [caches] [fingerprints] [networks] [inpainting]`: libraries on our cases.

It needs `pip install cloudpickle dill diskcache joblib`. The files that it is about say at their top what it printed.
"""

from __future__ import annotations

import sys
import warnings

from tests.benchmarks.libraries import caches, fingerprints, inpainting, networks

SECTIONS = {"caches": caches, "fingerprints": fingerprints, "networks": networks, "inpainting": inpainting}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    for section in sys.argv[1:] or SECTIONS:
        for measure in SECTIONS[section].MEASURES:
            print(measure(), flush=True)
