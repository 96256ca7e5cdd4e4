"""What a chapter needs besides the method: checks of answers, and the source that it shows."""

import inspect

import pytest
import torch

import apdnn_lite as ap
from apdnn_lite import exercises


def starter(x, y=2):
    """Add them."""
    ...


def passing(x, y=2):
    """Add them."""
    pass


def right(x, y=2):
    """Add them."""
    return x + y


def constant():
    return 3


def nothing_found():
    return None


def is_sum(answer):
    assert answer(1) == 3, "1 + 2 is 3"


@pytest.mark.parametrize("answer", [None, ..., starter, passing, [], {}, [1, None], {"a": ...}])
def test_a_starter_is_not_tried(answer, capsys):
    def never(answer):
        raise RuntimeError("tried")

    exercises.check(answer, never)
    assert capsys.readouterr().out.strip() == exercises.NOT_YET


@pytest.mark.parametrize("answer", [right, constant, 0, 0.0, "", False, torch.zeros(2), [1], abs,
                                    lambda x: x, torch.nn.Linear(1, 1)])
def test_everything_else_is_an_answer(answer):
    assert not exercises.unanswered(answer)


def test_a_right_answer_and_a_wrong_one(capsys):
    exercises.check(right, is_sum)
    assert capsys.readouterr().out == "Right!\n"
    exercises.check(lambda x: x, is_sum)
    assert capsys.readouterr().out == "Not right yet: 1 + 2 is 3\n"


def test_a_message_is_not_needed(capsys):
    def test(answer):
        assert answer == 1

    exercises.check(2, test)
    assert capsys.readouterr().out.startswith("Not right yet")


def test_another_error_is_the_readers_to_see():
    with pytest.raises(ZeroDivisionError):
        exercises.check(lambda x: 1 / 0, is_sum)


def test_a_test_is_needed():
    with pytest.raises(ValueError, match="test must be a function of the answer, got int"):
        exercises.check(1, 3)


# ---- for a grader

@pytest.mark.parametrize("env, message", [
    ({}, "Not answered: there is no total. Does its cell end in an error?"),
    ({"total": ...}, "Not answered: total is as it was given."),
    ({"total": starter, "few": 1}, "Not answered: total is as it was given."),
    ({"total": right, "few": 1}, "There is no many, which an earlier cell of the notebook defines"),
    ({"total": right}, "There is no few, many, which an earlier cell"),
])
def test_what_cannot_be_graded_says_why(env, message):
    with pytest.raises(AssertionError) as caught:
        with exercises.graded(env, "total", ["few", "many"]):
            raise RuntimeError("tried")
    assert str(caught.value).startswith(message)


def test_what_can_be_graded_is_tried():
    env = {"total": right, "few": None}
    with exercises.graded(env, "total", ["few"]):
        is_sum(env["total"])
    with pytest.raises(AssertionError, match=r"^1 \+ 2 is 3"):
        with exercises.graded(env, "total", ["few"]):
            is_sum(lambda x: x)
    with pytest.raises(ZeroDivisionError):
        with exercises.graded(env, "total", ["few"]):
            is_sum(lambda x: 1 / 0)


def test_an_answer_that_never_ends_says_so():
    with pytest.raises(AssertionError, match="^Interrupted: total took too long.$"):
        with exercises.graded({"total": right}, "total", []):
            raise KeyboardInterrupt


# ---- the source

def test_the_source_is_the_packages():
    shown = ap.show_source(ap.fgsm, ap.AntiPiracyLoss)
    assert repr(shown) == (inspect.getsource(ap.fgsm).rstrip() + "\n\n\n"
                           + inspect.getsource(ap.AntiPiracyLoss).rstrip())
    assert shown._repr_markdown_() == f"```python\n{shown!r}\n```"


@pytest.mark.parametrize("thing", [3, "fgsm", torch.zeros(1)])
def test_what_has_no_source_is_refused(thing):
    with pytest.raises(ValueError, match="expected functions or classes of the package, got "):
        ap.show_source(thing)
