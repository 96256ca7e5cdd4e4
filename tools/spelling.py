"""One spelling, the American, in every file of the repository, checked by codespell.

    python tools/spelling.py

Files are checked as they are. Of a notebook, its sources, text outputs, widgets and alternative
texts are checked, but no pictures, because their base64 may hold any word. pyproject.toml lists the
dictionaries; american.txt, beside this file, adds words that codespell's own dictionaries lack.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Titles of cited works and licenses are not ours to spell; american.txt lists what is wrong.
LEFT_OUT = {"book/references.bib", "tools/american.txt", "tools/offline/package-lock.json"}
BINARY = {".npz", ".safetensors", ".png", ".pt", ".onnx", ".wasm"}
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")


def texts(node):
    """Every text inside a notebook's JSON; lists of lines are joined, pictures left out."""
    if isinstance(node, str):
        yield BASE64.sub("base64,", node)
    elif isinstance(node, list) and all(isinstance(part, str) for part in node):
        yield BASE64.sub("base64,", "".join(node))
    else:
        parts = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node or ())
            if isinstance(node, list)
            else ()
        )
        for name, part in parts:
            if not str(name).startswith("image/"):
                yield from texts(part)


def tracked(root):
    """The files that git knows or would add, by their names below ``root``; without git, all."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=root, capture_output=True, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def misspelled(root, names):
    """Lines 'file:line: found ==> expected' for the named files below ``root``."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path, copy = root / name, Path(folder, name)
            if name in LEFT_OUT or path.suffix in BINARY or "LICENSE" in path.name:
                continue
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                text = "\n".join(texts(json.loads(text)))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "codespell_lib",
                "--toml",
                ROOT / "pyproject.toml",
                "--check-hidden",
                folder,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 65) or done.stderr:
            raise RuntimeError(f"codespell did not run: {done.stderr or done.stdout}")
        return [
            line.removeprefix(f"{folder}/") for line in done.stdout.splitlines() if "==>" in line
        ]


def main():
    found = misspelled(ROOT, tracked(ROOT))
    print("\n".join(found))
    if found:
        sys.exit(f"{len(found)} words are misspelled, or not spelled as Americans spell them "
                 "(for a notebook, lines are those of its text)")


if __name__ == "__main__":
    main()
