"""The package's own source, shown where a chapter teaches it."""

import inspect

from ._checks import describe


class Source:
    """The source of functions and classes, as a notebook and a page show it."""

    def __init__(self, *objects):
        parts = []
        for each in objects:
            try:
                parts.append(inspect.getsource(each).rstrip())
            except TypeError as error:
                raise ValueError("expected functions or classes of the package, got "
                                 f"{describe(each)}") from error
        self.text = "\n\n\n".join(parts)

    def __repr__(self):
        return self.text

    def _repr_markdown_(self):
        return f"```python\n{self.text}\n```"


def show_source(*objects):
    """Show the source of functions and classes of the package, as it is installed.

    A page that shows it cannot drift apart from the package: the tests compare the two. Raises
    ValueError for anything that has no source.
    """
    return Source(*objects)
