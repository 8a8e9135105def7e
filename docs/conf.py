"""Sphinx reads this file: `python -m sphinx -W -b html docs docs/_build` builds the manual, without a network."""

from __future__ import annotations

import re
from importlib import metadata

project = "pytest-saliency-sanity"
author = "the authors of pytest-saliency-sanity"
release = version = metadata.version("pytest-saliency-sanity")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "pytest-saliency-sanity"
default_role = "code"  # docstrings write names between single backticks
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the arguments say it in words
napoleon_use_ivar = True
python_use_unqualified_type_names = True


def _escape_markup(app, what, name, obj, options, lines):
    """Shapes (N, C, *S) and sizes |x| are no markup; a docstring has none but its backticks."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        lines[number] = "".join(
            part if part.startswith("`") else re.sub(r"([*|])", r"\\\1", part) for part in parts
        )


def setup(app):
    """Before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _escape_markup, priority=400)
