"""The parser of the command line, as the page on it shows it."""

import argparse

from apdnn_lite.experiments import cli


def parser():
    """The parser, without the choices that its help names already: they would be printed twice."""
    return without_repeated_choices(cli.parser())


def without_repeated_choices(found):
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                without_repeated_choices(each)
        elif action.choices and all(str(each) in action.help for each in action.choices):
            action.choices = None
    return found
