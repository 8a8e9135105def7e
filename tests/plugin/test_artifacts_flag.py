"""--saliency-artifacts: a strip of pictures for each verdict that is not a pass."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from pytest_saliency_sanity.plugin.recording.pictures import file_name
from pytest_saliency_sanity.report.pictures import Picture

PICTURED = """
    import numpy as np
    import pytest
    from judging import check, judge
    from pytest_saliency_sanity.report.album import Album

    def pictures():
        album = Album()
        album.add_input(0, 0, np.eye(6)[None])
        album.add_map(0, 0, "original", np.eye(6) - 0.5)
        return album.pictures()

    def test_honest():
        judge("pass", pictures=pictures())

    def test_faulty():
        judge("fail", pictures=pictures())

    def test_unclear():
        judge("inconclusive", pictures=pictures())

    def test_broken():
        judge("error", pictures=pictures())

    def test_without():
        judge("fail")

    def test_observed():
        check("fail", pictures=pictures())
        check("fail", pictures=pictures())

    @pytest.mark.xfail(strict=True, reason="known")
    def test_known():
        judge("fail", pictures=pictures())
"""
WITH = ("faulty", "unclear", "broken", "observed", "observed", "known")
ASKED = """
    from pytest_saliency_sanity import settings

    def test_settings():
        present = settings.current()
        assert (str(present.artifacts), present.pictures) == ({where!r}, {pictures})
"""


EXTENDED = pytest.param(["-n1"], marks=pytest.mark.extended)


@pytest.fixture
def pictured(project: pytest.Pytester) -> pytest.Pytester:
    project.makepyfile(test_maps=PICTURED)
    return project


def written(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


@pytest.mark.parametrize("workers", [[], EXTENDED])
def test_a_file_for_each_verdict_that_is_not_a_pass(pictured: pytest.Pytester, workers: list[str]) -> None:
    result = pictured.runpytest("--saliency-artifacts=maps", *workers)
    result.assert_outcomes(passed=2, failed=4, xfailed=1)
    names = written(pictured.path / "maps")
    assert [name.split("test_maps-py-test_")[1].split("-")[0] for name in names] == sorted(WITH)
    for name in names:
        assert Image.open(io.BytesIO((pictured.path / "maps" / name).read_bytes())).size[0] > 250


@pytest.mark.extended
def test_the_same_files_serial_and_under_xdist(pictured: pytest.Pytester) -> None:
    contents = []
    for directory, workers in (("one", "-n0"), ("two", "-n2")):
        pictured.runpytest(f"--saliency-artifacts={directory}", workers)
        folder = pictured.path / directory
        contents.append({name: (folder / name).read_bytes() for name in written(folder)})
    assert contents[0] == contents[1] and len(contents[0]) == len(WITH)


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_the_failure_says_where(pictured: pytest.Pytester, style: str) -> None:
    arguments = ("--saliency-artifacts=maps", "-k", "faulty", f"--tb={style}", "--show-capture=no")
    result = pictured.runpytest(*arguments)
    (name,) = written(pictured.path / "maps")
    result.stdout.fnmatch_lines(["*saliency pictures*", f"picture: maps{os.sep}{name}"])


@pytest.mark.parametrize("workers", [[], EXTENDED])
def test_junit_says_where(pictured: pytest.Pytester, workers: list[str]) -> None:
    pictured.runpytest("--saliency-artifacts=maps", "--junitxml=junit.xml", *workers)
    names = written(pictured.path / "maps")
    cases = {
        case.get("name"): case for case in ElementTree.parse(pictured.path / "junit.xml").iter("testcase")
    }
    told = {
        name: [
            json.loads(one.get("value", "")).get("picture")
            for one in case.iter("property")
            if one.get("name") == "saliency_verdict"
        ]
        for name, case in cases.items()
    }
    assert sorted(path for paths in told.values() for path in paths if path) == [
        f"maps{os.sep}{n}" for n in names
    ]
    assert told["test_honest"] == told["test_without"] == [None] and len({*told["test_observed"]}) == 2
    assert f"picture: {told['test_faulty'][0]}" in cases["test_faulty"].find("failure").text


@pytest.mark.parametrize("workers", [[], EXTENDED])
def test_a_file_that_cannot_be_written_changes_nothing_else(
    pictured: pytest.Pytester, workers: list[str]
) -> None:
    (pictured.path / "taken").write_text("a file")
    result = pictured.runpytest(f"--saliency-artifacts=taken{os.sep}maps", *workers)
    result.assert_outcomes(passed=2, failed=4, xfailed=1)
    line = f"UNWRITTEN    no picture of test_maps.py::test_faulty in taken{os.sep}maps: *Error: *"
    result.stdout.fnmatch_lines(["*saliency sanity*", line])
    assert "picture: " not in result.stdout.str() and "INTERNALERROR" not in result.stdout.str()


def test_an_error_of_drawing_changes_nothing_else(pictured: pytest.Pytester) -> None:
    pictured.makeconftest(
        """
        from pytest_saliency_sanity.report import strip

        def broken(verdict):
            raise RuntimeError("planted")

        strip.png = broken
        """
    )
    result = pictured.runpytest_subprocess("--saliency-artifacts=maps")
    result.assert_outcomes(passed=2, failed=4, xfailed=1)
    result.stdout.fnmatch_lines(
        ["UNWRITTEN    no picture of test_maps.py::test_faulty in maps: RuntimeError: planted"]
    )


def test_a_rerun_takes_the_place_of_the_file(pictured: pytest.Pytester) -> None:
    arguments = ("--saliency-artifacts=maps", "-k", "faulty", "-p", "rerunfailures", "--reruns=1")
    pictured.runpytest(*arguments)
    assert len(written(pictured.path / "maps")) == 1


def test_a_test_that_goes_elsewhere(pictured: pytest.Pytester) -> None:
    pictured.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def elsewhere(tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
        """
    )
    pictured.runpytest("--saliency-artifacts=maps")
    assert len(written(pictured.path / "maps")) == len(WITH)


def test_nothing_is_written_unless_asked(pictured: pytest.Pytester) -> None:
    before = written(pictured.path)
    pictured.runpytest("-p", "no:cacheprovider")
    assert {*written(pictured.path)} - {*before} <= {"__pycache__"}


# Where it is set.


def test_the_flag_beats_the_table_and_that_the_key(pytester: pytest.Pytester) -> None:
    def asks(where: str, *flags: str) -> None:
        pytester.makepyfile(ASKED.format(where=str(pytester.path / where), pictures=True))
        pytester.runpytest(*flags).assert_outcomes(passed=1)

    pytester.makeini("[pytest]\nsaliency_artifacts = of_ini")
    asks("of_ini")
    pytester.makepyprojecttoml('[tool.saliency_sanity]\nartifacts = "of_table"')
    asks("of_table")
    asks("of_flag", "--saliency-artifacts=of_flag")


def test_a_bad_value_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makefile(".txt", taken="a file")
    result = pytester.runpytest("--saliency-artifacts=taken.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = "ERROR: --saliency-artifacts: artifacts must be a directory; 'taken.txt' is a file"
    assert [line for line in result.errlines if line] == [sentence]


# On the report.

CONFTEST = """
    import json
    from pathlib import Path
    from pytest_saliency_sanity.plugin.recording.pictures import WANTED
    from pytest_saliency_sanity.plugin.recording.records import attached

    FOUND = {}

    def pytest_configure(config):
        config.stash[WANTED] = True

    def pytest_runtest_logreport(report):
        if report.when == "call":
            FOUND[report.nodeid] = attached(report)

    def pytest_sessionfinish(session):
        if not hasattr(session.config, "workerinput"):
            Path(session.config.rootpath, "found.json").write_text(json.dumps(FOUND))
"""


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_pictures_travel_where_a_report_wants_them(pictured: pytest.Pytester, workers: list[str]) -> None:
    pictured.makeconftest(CONFTEST)
    pictured.runpytest("--saliency-artifacts=maps", *workers)
    found = json.loads((pictured.path / "found.json").read_text())
    (honest,), (faulty,) = (found[f"test_maps.py::test_{name}"] for name in ("honest", "faulty"))
    shown = [Picture.from_json(one) for one in faulty["pictures"]]
    assert [(one.place, one.kind) for one in shown] == [("input", "input"), ("original", "map")]
    assert all(one.png.startswith(b"\x89PNG") for one in shown)
    assert len(honest["pictures"]) == 2 and "picture" not in honest
    assert Path(pictured.path, faulty["picture"]).is_file()
    assert "pictures" not in found["test_maps.py::test_without"][0]


def test_checks_have_pictures_if_a_report_wants_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(ASKED.format(where="None", pictures=True))
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.extended
def test_a_real_check_has_pictures_if_a_report_wants_them(project: pytest.Pytester) -> None:
    project.makeconftest(CONFTEST)
    project.makepyfile(
        """
        import torch
        from pytest_saliency_sanity import check_contract
        from pytest_saliency_sanity.explainers import gradient

        def test_it():
            model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3))
            assert len(check_contract(gradient, model, torch.rand(4, 1, 6, 6)).pictures) == 8
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_without_a_report_they_stay(pictured: pytest.Pytester) -> None:
    pictured.makeconftest(CONFTEST.replace("= True", "= False"))
    pictured.runpytest()
    found = json.loads((pictured.path / "found.json").read_text())
    assert not any("pictures" in one or "picture" in one for ones in found.values() for one in ones)


@pytest.mark.parametrize("workers", [[], EXTENDED])
def test_pytest_html_shows_them(pictured: pytest.Pytester, workers: list[str]) -> None:
    pytest.importorskip("pytest_html", minversion="4")
    arguments = ("-p", "metadata", "-p", "html", "--html=report.html", "--self-contained-html", *workers)
    pictured.runpytest_subprocess(*arguments).assert_outcomes(passed=2, failed=4, xfailed=1)
    page = (pictured.path / "report.html").read_text()
    assert page.count("data:image/png;base64,iVBOR") == len(WITH)


# Names of files.


def test_a_name_is_that_of_the_test_and_a_digest() -> None:
    name = file_name("tests/test_maps.py::TestIt::test_it[a/b]", ("model_sensitivity", "sobel", "Net"), 0)
    assert name.startswith("tests-test_maps-py-testit-test_it-a-b-model_sensitivity-") and len(name) == 72


@pytest.mark.parametrize(
    "nodeid",
    [
        "con",
        "NUL.py::test",
        "../../etc/passwd",
        "t.py::test[" + "x" * 500 + "]",
        "t.py::test[ä\udce4\n\t:*?<>|]",
        "…",
        "",
    ],
)
def test_names_are_safe_everywhere(nodeid: str) -> None:
    name = file_name(nodeid, ("model_sensitivity", "<script>/..", "N" * 300), 3)
    stem, dot, ending = name.partition(".")
    assert (dot, ending) == (".", "png") and len(name) <= 150
    assert stem[0] != "-" and set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    assert stem not in ("con", "nul", "prn", "aux")


def test_names_differ_also_where_case_does_not_count() -> None:
    keys = [
        ("t.py::Test", "e", 0),
        ("t.py::test", "e", 0),
        ("t.py::test", "E", 0),
        ("t.py::test", "e", 1),
        ("t.py::te-st", "e", 0),
    ]
    names = {
        file_name(nodeid, ("contract", explainer, "Net"), number).lower()
        for nodeid, explainer, number in keys
    }
    assert len(names) == len(keys)
