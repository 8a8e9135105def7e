"""`python -m pytest_saliency_sanity show` and `compare`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_saliency_sanity.__main__ import main
from pytest_saliency_sanity.report.document import Report, written
from tests.report.made import entry, measured, mixed, report


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(name: str, made: Report) -> str:
    Path(name).write_text(written(made), encoding="utf-8")
    return name


def test_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", stored("a.json", mixed(lost=("one did not arrive",)))]) == 0
    shown = capsys.readouterr().out
    assert "test_a.py::test_it\nsobel ignores the model: 0.80 of the map survives" in shown
    assert "  ! error         model_sensitivity  broken     Net\n" in shown
    assert shown.endswith("1 failed as expected, 1 inconclusive, 1 refused, 1 error, 1 observed\n")
    assert "LOST one did not arrive" in shown


def test_show_markdown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", stored("a.json", mixed()), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("### saliency sanity")


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored("a.json", report(measured(0.1, "pass"), entry("pass", explainer="x")))
    after = stored("b.json", report(measured(0.9, "fail"), entry("fail", explainer="y")))
    assert main(["compare", before, after]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "REGRESSION     test_a.py::test_it: model_sensitivity of sobel on Net: pass 0.10 (0.00 … 0.20) → "
        "fail 0.90 (0.80 … 1.00)",
        "NEW            test_a.py::test_it: model_sensitivity of y on Net: fail",
        "MISSING        test_a.py::test_it: model_sensitivity of x on Net: was pass, and was not reached",
    ]
    assert main(["compare", before, before]) == 0
    assert capsys.readouterr().out == "no verdict differs\n"


def test_files_that_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.json").write_text("{}")
    assert main(["show", "odd.json"]) == 2
    assert "odd.json is no report of pytest-saliency-sanity" in capsys.readouterr().err
    assert main(["compare", "odd.json", "none.json"]) == 2
    assert main(["show", "none.json"]) == 2
    assert "none.json" in capsys.readouterr().err


def test_as_a_command(folder: Path) -> None:
    line = [sys.executable, "-m", "pytest_saliency_sanity", "show", stored("a.json", mixed())]
    assert (
        "saliency sanity: 1 passed" in subprocess.run(line, capture_output=True, text=True, check=True).stdout
    )
