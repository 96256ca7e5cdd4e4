"""The pure functions of the playground's scripts, tested by Node's own test runner: tests/js."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent / "js"
BOOK = TESTS.parent.parent / "book"
OLDEST = 20


def test_the_scripts_pass_the_tests_of_node():
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    version = subprocess.run(
        [node, "--version"], capture_output=True, text=True, timeout=60
    ).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"Node {version} is too old: {OLDEST} or newer is needed")
    files = sorted(TESTS.glob("*.test.js"))
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", *map(str, files)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^# pass (\d+)", done.stdout, re.M)[1]) >= len(files) >= 5, done.stdout


def test_pure_modules_know_nothing_of_the_page():
    """So that they can be tested without a browser, and are pure."""
    scripts = BOOK / "_playground"
    imported = {
        name
        for file in TESTS.glob("*.test.js")
        for name in re.findall(r"_playground/(\w+\.js)", file.read_text(encoding="utf-8"))
    }
    assert imported >= {
        "random.js",
        "keys.js",
        "geometry.js",
        "numbers.js",
        "answers.js",
        "tries.js",
        "trial.js",
        "score.js",
        "adam.js",
        "link.js",
        "missions.js",
        "nudge.js",
        "stuck.js",
    }
    for name in imported:
        text = (scripts / name).read_text(encoding="utf-8")
        assert not re.search(r"\b(document|window|fetch|self)\.|store\.js", text), name


NUMBERS = {"5": "five", "10": "ten"}


def test_the_page_says_how_its_thief_climbs():
    script = (BOOK / "_playground" / "climb.js").read_text(encoding="utf-8")
    values = re.search(r"CLIMB = \{(.+)\};", script).group(1)
    climb = dict(re.findall(r"(\w+): ([\d.]+)", values))
    page = " ".join((BOOK / "playground.md").read_text(encoding="utf-8").split())
    for sentence in (
        f"Adam, {climb['steps']} steps of size {climb['rate']}, from noise with a standard "
        f"deviation of {climb['deviation']}",
        f"A batch has {climb['batch']} images",
        f"still below {climb['enough']} after {NUMBERS[climb['early']]} steps is stuck",
        f"begins again from other noise, with up to {NUMBERS[climb['starts']]} starts",
    ):
        assert sentence in page, sentence
