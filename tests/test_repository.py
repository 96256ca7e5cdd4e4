"""What may be in the repository: small files, and nothing that runs when it is loaded."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LIMIT = 8_000_000  # bytes
TOTAL_LIMIT = 60_000_000
# Loading a pickle runs what is in it. Weights are stored as safetensors.
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


def problems(files, root):
    sizes = {name: (root / name).stat().st_size for name in files if (root / name).is_file()}
    for name, size in sizes.items():
        if size > FILE_LIMIT:
            yield f"{name}: {size:,} bytes; expected at most {FILE_LIMIT:,}"
        if Path(name).suffix in PICKLES:
            yield f"{name}: expected no pickled files"
    if sum(sizes.values()) >= TOTAL_LIMIT:
        yield f"all files together: {sum(sizes.values()):,} bytes; expected less than {TOTAL_LIMIT:,}"


def test_repository():
    # what is committed, and what `git add .` would add
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ) if (ROOT / ".git").exists() else None
    if listed is None or listed.returncode:
        pytest.skip("not a git checkout")
    found = list(problems(filter(None, listed.stdout.split("\0")), ROOT))
    assert not found, "\n" + "\n".join(found)


def test_what_may_not_be_there_is_found(tmp_path):
    for name, size in {"big.npz": 8_000_001, "net.pt": 1, "a.bin": 8_000_000}.items():
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
    assert [line.split(":")[0] for line in problems(["big.npz", "net.pt", "a.bin", "deleted"], tmp_path)] == ["big.npz", "net.pt"]
    many = []
    for number in range(8):
        many.append(f"{number}.bin")
        with open(tmp_path / many[-1], "wb") as file:
            file.truncate(7_900_000)
    assert [line.split(":")[0] for line in problems(many, tmp_path)] == ["all files together"]
