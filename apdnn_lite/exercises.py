"""Checks of a reader's own answers to the exercises of the book."""

import dis
import inspect
from contextlib import contextmanager

from ._checks import describe

NOT_YET = "Not answered yet. Fill in the cell above, run it, and then run this one again."


def check(answer, test):
    """Try a reader's answer with ``test``, and say whether it holds.

    answer: what the starter cell defines, a value or a function. Where it is still as it was given
        (None, ``...``, or a function without a body of its own), nothing is tried.
    test: a function of the answer that ends in assertions, whose messages tell what is wrong.

    Prints one line. An answer that fails in another way than
    by an assertion raises its own error, because the reader needs to see where.
    """
    if not callable(test):
        raise ValueError(f"test must be a function of the answer, got {describe(test)}")
    if unanswered(answer):
        print(NOT_YET)
        return
    try:
        test(answer)
    except AssertionError as error:
        reason = str(error).partition("\n")[0]
        print(f"Not right yet: {reason}" if reason else "Not right yet.")
    else:
        print("Right!")


@contextmanager
def graded(env, answer, names):
    """What a grader's test runs inside: an AssertionError says why an answer cannot be tried.

    env: the names of a notebook that has run, with their values.
    answer: the name that the exercise asks for. names: the others that the test reads.
    """
    if answer not in env:
        raise AssertionError(f"Not answered: there is no {answer}. Does its cell end in an error?")
    if unanswered(env[answer]):
        raise AssertionError(f"Not answered: {answer} is as it was given.")
    if missing := [name for name in names if name not in env]:
        raise AssertionError(f"There is no {', '.join(missing)}, which an earlier cell of the"
                             " notebook defines. Is that cell gone, or does it end in an error?")
    try:
        yield
    except KeyboardInterrupt:  # of a grader who waits no longer
        raise AssertionError(f"Interrupted: {answer} took too long.") from None


def unanswered(answer):
    """Whether an answer is still as the starter cell gives it."""
    if answer is None or answer is ...:
        return True
    if isinstance(answer, list | tuple | dict):
        values = answer.values() if isinstance(answer, dict) else answer
        return len(answer) == 0 or any(unanswered(value) for value in values)
    if inspect.isfunction(answer):
        return empty(answer.__code__)
    return False


def empty(code):
    """Whether a function's code does nothing but return None, as ``...`` alone does."""
    steps = [(step.opname, step.argval) for step in dis.get_instructions(code)]
    steps = [(name, value) for name, value in steps if name not in ("RESUME", "NOP", "CACHE")]
    return steps in ([("LOAD_CONST", None), ("RETURN_VALUE", None)], [("RETURN_CONST", None)])
