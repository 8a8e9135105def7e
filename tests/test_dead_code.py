"""Nothing in the package is unused: vulture finds no name that neither the package nor its tests or templates use."""

from __future__ import annotations

import re
from pathlib import Path

import vulture

from tests.manual import ROOT

PACKAGE = ROOT / "pytest_saliency_sanity"
# What only others call, with the reason.
CALLED_BY_OTHERS = {
    "__getattr__": "Python, for the lazy names of the package",
    "__dir__": "Python, for the lazy names of the package",
    "__signature__": "inspect reads it",
    "_recreate_cm": "contextlib calls it",
    "_manipulate_weights": "captum calls it",
    "forward_hook": "captum calls it",
    "forward_hook_weights": "captum calls it",
    "forward_pre_hook_activations": "captum calls it",
    "_use_item_location": "pytest reads it",
    "runtest": "pytest calls it",
    "reportinfo": "pytest calls it",
    "maxlong": "reprlib reads it",
    "maxother": "reprlib reads it",
    "maxstring": "reprlib reads it",
    "monitor_interval": "tqdm reads it",
    "EllipsisType": "in an annotation that is text",
    "PAPER_FRACTION": "for the argument `fraction=` of a user who follows the paper's figure 4",
}


def unused(folder: Path, *users: Path) -> set[str]:
    """The names in a folder that neither it nor the users use, hooks of pytest aside."""
    found = vulture.Vulture(ignore_names=["pytest_*"])
    found.scavenge([str(folder), *map(str, users)])
    names = {str(item.name) for item in found.get_unused_code() if folder in Path(item.filename).parents}
    return names - in_templates(folder)


def in_templates(folder: Path) -> set[str]:
    """The names in the expressions and statements of jinja2's templates."""
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.html")]
    spans = [span for text in texts for span in re.findall(r"{[{%].*?[%}]}", text, re.S)]
    return {name for span in spans for name in re.findall(r"\w+", span)}


def test_nothing_is_unused_but_what_others_call() -> None:
    assert sorted(unused(PACKAGE, ROOT / "tests", ROOT / "example_project")) == sorted(CALLED_BY_OTHERS)


def test_an_unused_function_is_found(tmp_path: Path) -> None:
    package, user = tmp_path / "package", tmp_path / "test_it.py"
    package.mkdir()
    (package / "planted.py").write_text("def planted_and_forgotten():\n    return 3\n")
    user.write_text("something_else()\n")
    assert unused(package, user) == {"planted_and_forgotten"}
    (package / "planted.html").write_text("planted_and_forgotten")
    assert unused(package, user) == {"planted_and_forgotten"}
    (package / "planted.html").write_text("{{ page.planted_and_forgotten }}")
    assert unused(package, user) == set()
    (package / "planted.html").unlink()
    user.write_text("planted_and_forgotten()\n")
    assert unused(package, user) == set()
