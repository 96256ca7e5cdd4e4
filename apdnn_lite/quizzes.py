"""Questions at the end of a chapter: choose an answer, open it, and read why.

The questions of a chapter lie in ``assets/quizzes``, in the format of jupyterquiz. They are shown
as plain HTML in which each answer folds its explanation away: no script has to run, so they work
on a page of the book, in JupyterLab and in Colab, with the keyboard alone, and without a network.
"""

import html
import json
import re
import string
import textwrap
from pathlib import Path

from ._checks import describe

FOLDER = Path(__file__).parent / "assets" / "quizzes"
FEWEST = 2  # answers to a question
VERDICTS = {True: ("✓", "Right."), False: ("✗", "Not quite.")}
MARKUP = re.compile(r"</?(?:code|em)>")
WIDTH = 78  # columns of the text that is shown where there is no HTML


def quiz(chapter):
    """The questions of a chapter, such as ``quiz("01")``. A notebook shows them.

    Raises ValueError if there are none of that name.
    """
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    if chapter not in names:
        raise ValueError(f"no quiz is called {chapter!r}; expected the number of a chapter as a "
                         f"text, one of {', '.join(names)}")
    return Quiz(chapter, json.loads((FOLDER / f"{chapter}.json").read_text(encoding="utf-8")))


class Quiz:
    """Multiple-choice questions with one right answer each, and an explanation of every answer.

    name: a word for the page's anchors; two quizzes of one page need different ones.
    questions: a list of ``{"type": "multiple_choice", "question": …, "answers": […]}`` with
        answers ``{"answer": …, "correct": True or False, "feedback": …}``, as jupyterquiz has
        them. Texts may use ``<code>`` and ``<em>``.

    Raises ValueError if a part is missing, or if a question has not exactly one right answer.
    """

    def __init__(self, name, questions):
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
            raise ValueError("name must be made of letters, digits, - and _, "
                             f"got {describe(name)}")
        if not isinstance(questions, list) or not questions:
            raise ValueError(f"questions must be a list with at least one, got "
                             f"{describe(questions)}")
        for number, question in enumerate(questions, 1):
            check_question(f"question {number} of quiz {name}", question)
        self.name, self.questions = name, questions

    def _repr_html_(self):
        style = (FOLDER / "quiz.css").read_text(encoding="utf-8")
        parts = [f"<style>\n{style}</style>"]
        for number, question in enumerate(self.questions, 1):
            anchor = f"quiz-{self.name}-{number}"
            answers = [answer_html(*each) for each in lettered(question)]
            parts += [f'<div class="apdnn-question" role="group" aria-labelledby="{anchor}">',
                      f'<p id="{anchor}"><b>{number}.</b> {escaped(question["question"])}</p>',
                      *answers, "</div>"]
        return "\n".join(['<div class="apdnn-quiz">', *parts, "</div>"])

    def __repr__(self):
        """The questions, and below them what is to be said of every answer."""
        asked, told = [], []
        for number, question in enumerate(self.questions, 1):
            asked.append(wrapped(f"{number}. ", question["question"]))
            for letter, answer in lettered(question):
                asked.append(wrapped(f"   {letter}. ", answer["answer"]))
                verdict = VERDICTS[answer["correct"]][1]
                told.append(wrapped(f"{number}{letter}. ", f"{verdict} {answer['feedback']}"))
            asked.append("")
        return "\n".join([*asked, "What the answers say:", "", *told])


def lettered(question):
    """("A", the first answer), ("B", the second one), …"""
    return list(zip(string.ascii_uppercase, question["answers"], strict=False))


def answer_html(letter, answer):
    """An answer that folds its explanation away."""
    sign, verdict = VERDICTS[answer["correct"]]
    kind = "right" if answer["correct"] else "wrong"
    return (f'<details class="{kind}"><summary><b>{letter}</b> <span>{escaped(answer["answer"])}'
            f'</span></summary>\n<p><b><span aria-hidden="true">{sign}</span> {verdict}</b> '
            f'{escaped(answer["feedback"])}</p></details>')


def escaped(text):
    """The text as HTML, with its own <code> and <em>, and E_p with its letter below the line."""
    made = re.sub("&lt;(/?(?:code|em))&gt;", r"<\1>", html.escape(text, quote=False))
    return re.sub(r"\b([Eq])_([a-z])\b", r"<em>\1</em><sub>\2</sub>", made)


def wrapped(begin, text):
    """A paragraph without markup, its lines after the first indented as far as ``begin`` goes."""
    plain = MARKUP.sub(lambda tag: "`" if "code" in tag[0] else "", text)
    return textwrap.fill(plain, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))


def check_question(where, question):
    """Raises ValueError unless a question is complete and has exactly one right answer."""
    if not isinstance(question, dict) or question.get("type") != "multiple_choice":
        raise ValueError(f'{where} must be a dictionary with the type "multiple_choice", got '
                         f"{describe(question)}")
    check_text(f'{where}: "question"', question.get("question"))
    answers = question.get("answers")
    if not isinstance(answers, list) or not FEWEST <= len(answers) <= len(string.ascii_uppercase):
        raise ValueError(f'{where}: "answers" must be a list of at least {FEWEST} answers, got '
                         f"{describe(answers)}")
    for letter, answer in lettered(question):
        if not isinstance(answer, dict) or not isinstance(answer.get("correct"), bool):
            raise ValueError(f'{where}, answer {letter} must be a dictionary whose "correct" is '
                             f"true or false, got {describe(answer)}")
        check_text(f'{where}, answer {letter}: "answer"', answer.get("answer"))
        check_text(f'{where}, answer {letter}: "feedback", which explains it,',
                   answer.get("feedback"))
    right = sum(answer["correct"] for answer in answers)
    if right != 1:
        raise ValueError(f"{where} has {right} right answers; expected exactly one with "
                         '"correct": true')


def check_text(name, text):
    """Raises ValueError unless a text says something, without markup but <code> and <em>."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} must be a text, got {describe(text)}")
    if found := re.search(r"</?\w+[^>]*>", MARKUP.sub("", text)):
        raise ValueError(f"{name} has the markup {found[0]}; only <code> and <em> are shown")
