"""The docstrings of the package, as Sphinx reads them.

They are written to be read in the source. An argument has a line ``name: what it is``, which may
go on in indented lines. Here such lines become a list, and a bar, as in |K|, is only a bar.
"""

import re

ARGUMENT = re.compile(r"^(\w+(?:, \w+)*): (.+)$")


def as_lists(lines):
    """The lines of a docstring, each argument turned into an entry of a list."""
    found, in_list = [], False
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        after = lines[number + 1] if number + 1 < len(lines) else ""
        begins = in_list or not before.strip() or after.startswith(" ")
        argument = ARGUMENT.match(line) if begins else None
        if argument:
            if not in_list and found and found[-1].strip():
                found.append("")
            names = ", ".join(f"``{name}``" for name in argument[1].split(", "))
            found.append(f"* {names}: {argument[2]}")
            in_list = True
        elif in_list and line.startswith(" "):
            found.append("  " + line.strip())
        elif in_list and not line.strip():
            found.append("")
            in_list = False
        elif in_list:
            found += ["", line]
            in_list = False
        else:
            found.append(line)
    return found


def process(app, what, name, thing, options, lines):
    lines[:] = [line.replace("|", "\\|") for line in as_lists(lines)]


def prepare(app, config):
    config.autodoc_typehints = "none"
    config.autodoc_inherit_docstrings = False  # torch's own would explain every `forward`
    # of a module that begins with an underscore; the name in the text says enough
    config.nitpick_ignore = [*config.nitpick_ignore, *(
        ("py:class", name) for name in ("DataError", "History", "apdnn_lite.History"))]


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", prepare)
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
