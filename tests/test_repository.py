"""What is in the repository: small files, nothing that runs when loaded, no talk of its making."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LIMIT = 8_000_000  # bytes
TOTAL_LIMIT = 64_000_000
# Loading a pickle runs what is in it. Weights are stored as safetensors.
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
BINARY = {".npz", ".safetensors", ".png", ".ico", ".woff2", ".wasm", ".onnx"}
# A reader has no use for how the project came about, nor for the machine it was written on. (The
# brackets keep these lines from matching themselves.)
TALK = {
    "a path of one machine": (
        r"(?<![\w./~-])/(?:[w]ork|[r]oot)\b(?![\w-])|\.\./[s]hared\b|/opt/[p]ypi"
    ),
    "an issue by its number": r"\b[i]ssues? #?\d+\b|\b[i]ssues show\b",
    "a session of work": (
        r"\b(?:this|an?|earlier|last|next|previous|later|other) [s]essions?\b(?! of)"
    ),
    "the place of work": r"\b[w]orkplace\b|\bC[E]O\b|\b[s]ub-?agents?\b",
    "a package registry by its host": (
        r"[p]ypi\.org|[p]ythonhosted|[n]pmjs\.|deb\.[d]ebian|download\.[p]ytorch"
    ),
    "a writing machine": r"\b(?:C[l]aude|A[n]thropic|O[p]enAI|C[h]atGPT)\b",
}


def listed_by_git():
    """What is committed, and what `git add .` would add."""
    listed = (
        subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if (ROOT / ".git").exists()
        else None
    )
    if listed is None or listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def problems(files, root):
    sizes = {name: (root / name).stat().st_size for name in files if (root / name).is_file()}
    for name, size in sizes.items():
        if size > FILE_LIMIT:
            yield f"{name}: {size:,} bytes; expected at most {FILE_LIMIT:,}"
        if Path(name).suffix in PICKLES:
            yield f"{name}: expected no pickled files"
    if sum(sizes.values()) >= TOTAL_LIMIT:
        yield (
            f"all files together: {sum(sizes.values()):,} bytes; expected less than {TOTAL_LIMIT:,}"
        )


def talk(files, root):
    for name in files:
        if Path(name).suffix in BINARY:
            continue
        text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", (root / name).read_text(encoding="utf-8"))
        if name.endswith(".ipynb"):  # pictures are stored as lines of base64
            text = re.sub(r'"image/\w+": "[^"]*"', "", text)
        for what, pattern in TALK.items():
            for found in re.finditer(pattern, text, re.I):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{name}:{line}: {found[0]!r}, {what}"


def test_repository():
    found = list(problems(listed_by_git(), ROOT))
    assert not found, "\n" + "\n".join(found)


def test_nothing_speaks_of_how_the_project_was_made():
    found = list(talk(listed_by_git(), ROOT))
    assert not found, "\n" + "\n".join(found)


def test_what_may_not_be_there_is_found(tmp_path):
    for name, size in {"big.npz": 8_000_001, "net.pt": 1, "a.bin": 8_000_000}.items():
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
    found = [
        line.split(":")[0] for line in problems(["big.npz", "net.pt", "a.bin", "deleted"], tmp_path)
    ]
    assert found == ["big.npz", "net.pt"]
    many = []
    for number in range(TOTAL_LIMIT // 7_900_000 + 1):
        many.append(f"{number}.bin")
        with open(tmp_path / many[-1], "wb") as file:
            file.truncate(7_900_000)
    assert [line.split(":")[0] for line in problems(many, tmp_path)] == ["all files together"]


@pytest.mark.parametrize(
    "text, what",
    [
        ("see /wo" + "rk/main", "a path of one machine"),
        ("'/roo" + "t/.cache'", "a path of one machine"),
        ("as in issu" + "e 20", "an issue by its number"),
        ("an earlier sess" + "ion did", "a session of work"),
        ("the work" + "place", "the place of work"),
        ("https://py" + "pi.org/simple", "a package registry by its host"),
        ("Clau" + "de wrote", "a writing machine"),
    ],
)
def test_talk_is_found(tmp_path, text, what):
    (tmp_path / "a.md").write_text(f"one\n{text}\n")
    assert [line.rpartition(", ")[2] for line in talk(["a.md"], tmp_path)] == [what]


def test_other_words_are_not_talk(tmp_path):
    (tmp_path / "a.md").write_text(
        "at work/root, ~/work, scope='session', an InferenceSession, the issue of size\n"
    )
    assert list(talk(["a.md"], tmp_path)) == []
