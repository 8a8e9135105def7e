"""Where a run took place: versions of what verdicts depend on, and the platform; nothing is imported for it."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

_PACKAGES = (
    "pytest-saliency-sanity", "pytest", "torch", "torchvision", "numpy", "scipy", "scikit-image", "captum", "zennit",
    "grad-cam", "torchcam", "shap", "quantus", "timm", "transformers",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Python's version, the platform, and the versions of the packages that are installed."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
