"""A book without its solutions, for a class that has the exercises as homework.

The setting is ``hide_solutions: true``. sphinx-exercise has it, but with solutions between
``solution-start`` and ``solution-end`` it drops the start and keeps the end: the solution stays on
the page, and the build stops at the lone end. Here solutions are read as always, and then taken off
the page as a whole.
"""

from sphinx.transforms import SphinxTransform
from sphinx_exercise.nodes import solution_node


def take_over(app, config):
    """Keep the wish from sphinx-exercise, which would only half fulfill it."""
    config.solutions_are_hidden = bool(config.hide_solutions)
    config.hide_solutions = False


class HideSolutions(SphinxTransform):
    default_priority = 15  # after sphinx-exercise has joined each start and end, at 10

    def apply(self):
        if self.config.solutions_are_hidden:
            for solution in list(self.document.findall(solution_node)):
                solution.parent.remove(solution)


def setup(app):
    app.setup_extension("sphinx_exercise")
    app.add_config_value("solutions_are_hidden", False, "env")
    app.connect("config-inited", take_over)
    app.add_transform(HideSolutions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
