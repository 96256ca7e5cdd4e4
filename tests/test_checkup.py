"""apdnn check-env: what is missing on a machine, in plain words."""

import sys
from importlib import metadata

import pytest
import torch

from apdnn_lite.experiments import checkup, cli


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(checkup, "own_folder", lambda: tmp_path / "own")


def lines(capsys):
    """{name: (word, text)} of what was printed, and the last line."""
    printed = capsys.readouterr().out.splitlines()
    return {line[:16].strip(): (line[17:25].strip(), line[26:]) for line in printed[:-2]}, \
        printed[-1]


def test_this_machine_has_what_the_chapters_need(capsys):
    status = cli.main(["check-env"])
    found, last = lines(capsys)
    for name in ("Python", "torch", "numpy", "images", "network", "own folder", "processor"):
        assert found[name][0] == "good", found
    missing = [name for name, (word, _) in found.items() if word in ("MISSING", "BROKEN")]
    assert status == bool(missing)
    assert last == ("Everything that the chapters need is here." if not missing else
                    f"Missing: {', '.join(missing)}. The lines above say what to do.")
    assert sys.executable in found["Python"][1]
    assert found["torch"][1] == torch.__version__ and "2,000 test images" in found["images"][1]


@pytest.mark.parametrize("gone, word, status", [("torchvision", "MISSING", 1),
                                                ("jupyterlab", "MISSING", 1),
                                                ("tenseal", "absent", 0)])
def test_a_package_that_is_not_there_is_named_with_the_command_that_installs_it(
        gone, word, status, capsys, monkeypatch):
    real, known = metadata.version, {"jupyterlab": "4.5.0", "jupyterlab-myst": "2.7.0"}

    def version(name):
        if name == gone:
            raise metadata.PackageNotFoundError(name)
        return known.get(name) or (real(name) if name in INSTALLED else "999")

    monkeypatch.setattr(metadata, "version", version)
    assert cli.main(["check-env"]) == status
    found, last = lines(capsys)
    assert found[gone][0] == word
    assert f'-m pip install "{gone}' in found[gone][1] and "not installed; " in found[gone][1]
    assert [name for name, (word, _) in found.items() if word != "good"] == [gone]
    assert (gone in last) == bool(status)


INSTALLED = ("torch", "numpy")


def test_a_version_that_does_not_fit_is_named_with_what_is_expected():
    with pytest.raises(checkup.Missing, match=r"does not fit torch>=999\. Install it: .* install"):
        checkup.package("torch>=999", "")
    assert checkup.package("torch>=2.6", "") == torch.__version__


@pytest.mark.parametrize("version, bounds, fit", [
    ("2.13.0+cpu", ">=2.6", True), ("2.5.1", ">=2.6", False), ("2.6", ">=2.6.0", True),
    ("4.5.11", "<4.6,>=4.4", True), ("4.6.0", "<4.6,>=4.4", False), ("4.4", ">=4.4,<4.6", True),
    ("11", "", True), ("10.9", ">=11", False), ("0.10.1", ">=0.9", True), ("4.6", "<4.6", False),
])
def test_versions_are_compared_as_numbers(version, bounds, fit):
    assert checkup.fits(version, bounds) is fit


@pytest.mark.parametrize("version", [(3, 11), (3, 14), (3, 12, 5)])
def test_a_python_of_the_book_is_good(version):
    assert "newer than" not in checkup.python(version)


def test_other_pythons_are_named():
    with pytest.raises(checkup.Missing, match="this is Python 3.10; the book needs 3.11 or newer"):
        checkup.python((3, 10))
    assert "(newer than 3.14, the last one tried)" in checkup.python((3, 15))


def test_a_package_that_is_not_installed_itself_is_named(monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nothing)
    monkeypatch.setattr(metadata, "version", nothing)
    assert list(checkup.requirements()) == [("apdnn-lite", "")]
    with pytest.raises(checkup.Missing, match="not installed; the package needs it"):
        checkup.package("apdnn-lite", "")


def test_what_a_class_needs_is_what_pyproject_says():
    found = dict(checkup.requirements())
    assert {extra for extra in found.values()} <= {"", "lab", "crypto"}
    assert any(line.startswith("torch>=") for line in found)
    assert not any(line.startswith(("pytest", "sphinx")) for line in found)


def test_a_network_that_fails_is_missing(monkeypatch):
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.eye(10)[:1].expand(len(x), 10)

    monkeypatch.setattr(checkup, "pretrained", lambda *names: (Constant(), lambda x: x, {}))
    with pytest.raises(checkup.Missing, match=r"gets \d+% of 200 images with its key; expected"):
        checkup.network()


def test_a_folder_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(checkup, "own_folder", lambda: tmp_path / "file")
    with pytest.raises(checkup.Missing, match="cannot be written: .*file .* --folder"):
        checkup.folder()


def test_what_is_broken_does_not_end_the_report(capsys):
    assert checkup.passes("images", True, lambda: 1 / 0) is False
    line = f"{'images':16} BROKEN   ZeroDivisionError: division by zero\n"
    assert capsys.readouterr().out == line
    assert checkup.passes("crypto", False, lambda: 1 / 0) is False
