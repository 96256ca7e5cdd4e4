# Two commands are enough: `make book` builds the book, `make test` tests it.
# Each makes the virtual environment .venv first if it is missing or out of date.

PYTHON ?= python3
PORT ?= 8000
CHAPTER ?=
SUBMISSIONS ?= submissions
PYTEST_ARGS ?=
MODULES ?= losses models transforms evaluate adversarial attacks training data export

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VENDOR := _vendor/.ready

.DEFAULT_GOAL := help
.PHONY: help book test lint refresh student assignments grade slides pdf serve lab bench mutants clean

help:  ## show this list
	@echo "make book      build the book (45 seconds after the first set-up)"
	@echo "make serve     show the built book on http://127.0.0.1:$(PORT)  (PORT=8000)"
	@echo "make student   copies without the solutions: notebooks, HTML, and a zip to hand out"
	@echo "make assignments   the same copies for grading, and an autograder for each chapter"
	@echo "make grade     grade what students handed in (SUBMISSIONS=folder)"
	@echo "make slides    a deck of slides for each chapter, for a browser"
	@echo "make pdf       the whole book as one PDF, without the solutions (needs Chromium)"
	@echo "make lab       open the chapters in JupyterLab"
	@echo "make test      lint, then run the unit tests and every notebook (PYTEST_ARGS='-k fixed')"
	@echo "make lint      check style and spelling alone, in seconds"
	@echo "make refresh   execute all chapters again and save their outputs"
	@echo "               (one only: CHAPTER=book/11_fixed.ipynb)"
	@echo "make bench     measure the speed of training and of guessing keys (some minutes)"
	@echo "make mutants   break the package in small ways, and see whether its tests notice"
	@echo "               (hours; one module only: MODULES=losses)"
	@echo "make clean     remove what was built; 'rm -r $(VENV)' removes the environment"
	@echo "Another Python: make book PYTHON=python3.12"

# The stamp is written last, so that an install that was cut off starts again.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Try: make book PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	@touch $@

# Scripts for formulas and widgets, so that the pages need no other host.
$(VENDOR): tools/vendor.py tools/offline/package.json tools/offline/package-lock.json | $(READY)
	$(BIN)/python tools/vendor.py

# -W --keep-going: every warning is reported, and any of them fails the build;
# -n: a cross-reference that leads nowhere is a warning; --all: every page anew, because
# a second build of what did not change would not repeat its warnings, nor copy
# changed style sheets. It takes seconds.
book: $(READY) $(VENDOR)  ## build the HTML
	$(BIN)/python tools/playground.py
	$(BIN)/jupyter-book build . --all -W --keep-going -n
	@echo
	@echo "The book is built. 'make serve' shows it on localhost; or open"
	@echo "  $(CURDIR)/_build/html/index.html"

# The same chapters without their solutions: notebooks, HTML, and a zip to hand out.
student: $(READY) $(VENDOR)
	$(BIN)/python tools/playground.py
	$(BIN)/python tools/student.py

# The copies again, with the checks as tests for otter-grader, which gives the points.
assignments: $(READY)
	$(BIN)/python tools/assignments.py

grade: $(READY)
	$(BIN)/python tools/assignments.py --grade "$(SUBMISSIONS)"

# Slides that ask no other host; the folder can be carried along as it is.
slides: $(READY) $(VENDOR)
	$(BIN)/python tools/slides.py

pdf: book
	$(BIN)/python tools/pdf.py

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/python tools/spelling.py

refresh: $(READY)
	$(BIN)/python tools/refresh.py $(CHAPTER)

serve:
	@$(PYTHON) tools/serve.py --port $(PORT)

# Trusted notebooks show their stored sliders at once; others only after they have been run.
lab: $(READY)
	$(BIN)/jupyter trust book/*.ipynb
	$(BIN)/jupyter lab book/welcome.ipynb

bench: $(READY)
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/attacks.py --parts guesses scoring

# By hand, not with the tests: it runs the tests of a module once for each mutant of it.
mutants: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet cosmic-ray
	for module in $(MODULES); do $(BIN)/python tools/mutants.py $$module || exit 1; done

clean:
	rm -rf _build _vendor .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +
