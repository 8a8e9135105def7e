"""Small digit networks of many kinds, and their training: what verdicts are calibrated and tested on.

Thresholds are chosen on `DEVELOPMENT` and measured on `EVALUATION`; no kind of network is in both.
`python -m tests.networks` trains them all and prints how good they are.
"""

from __future__ import annotations

from tests.networks.development import DEVELOPMENT
from tests.networks.evaluation import EVALUATION
from tests.networks.training import accuracy, fit, train

__all__ = ["DEVELOPMENT", "EVALUATION", "accuracy", "fit", "train"]
