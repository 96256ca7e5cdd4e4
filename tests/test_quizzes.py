"""The questions at the end of each chapter: complete, true to the chapter, and easy to open."""

import copy
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from browser import AXE, violations

import apdnn_lite as ap
from apdnn_lite import quizzes

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
NUMBERS = [path.stem[:2] for path in CHAPTERS]
FEWEST, MOST = 3, 5  # questions of a chapter
LEAST_ANSWERS, LEAST_WORDS = 3, 5  # of a question; of what is said of an answer
# Numbers of a quiz that its chapter states in another way.
REWRITTEN = {
    ("09", "10000"): "10046 steps, rounded",
    ("20", "65536"): "2 to the power of 16",
    ("20", "3000"): "2,792 bits, rounded",
    ("20", "3136"): "typeset as 3{,}136",
}


def stored(number):
    return json.loads((quizzes.FOLDER / f"{number}.json").read_text(encoding="utf-8"))


def texts(question):
    yield question["question"]
    for answer in question["answers"]:
        yield answer["answer"]
        yield answer["feedback"]


# ---- what is asked

def test_every_chapter_has_a_quiz_and_nothing_else_has():
    assert sorted(path.stem for path in quizzes.FOLDER.glob("*.json")) == NUMBERS
    assert len(NUMBERS) == 20


@pytest.mark.parametrize("number", NUMBERS)
def test_the_questions_of_a_chapter(number):
    questions = stored(number)
    assert FEWEST <= len(questions) <= MOST
    assert len({question["question"] for question in questions}) == len(questions)
    for question in questions:
        assert question["question"].endswith("?")
        assert len(question["answers"]) >= LEAST_ANSWERS
        assert len({answer["answer"] for answer in question["answers"]}) == len(question["answers"])
        assert sum(answer["correct"] for answer in question["answers"]) == 1
        for answer in question["answers"]:
            assert len(answer["feedback"].split()) >= LEAST_WORDS, answer
            assert answer["feedback"][-1] in ".?!", answer
        for text in texts(question):
            assert not re.search(r"—|--|  |\bTO-?DO\b|\d %|[*`$\\]", text), text
            assert not re.search("[\"']", re.sub("<code>.*?</code>", "", text)), "curled quotes"


def test_neither_the_place_nor_the_length_gives_the_right_answer_away():
    questions = [question for number in NUMBERS for question in stored(number)]
    places, longest = Counter(), 0
    for question in questions:
        answers = question["answers"]
        place = [answer["correct"] for answer in answers].index(True)
        lengths = [len(answer["answer"]) for answer in answers]
        places[place] += 1
        longest += lengths[place] == max(lengths)
    assert min(places[place] for place in range(3)) >= len(questions) / 5
    assert longest <= len(questions) / 2, f"right is longest in {longest} of {len(questions)}"


def numbers_in(text):
    return [found.replace(",", "") for found in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?\b", text)]


def what_a_chapter_says(path):
    """Its text, sources, printed outputs and alternative texts, without the quiz."""
    said = []
    for cell in nbformat.read(path, as_version=4).cells:
        if not cell.source.startswith("ap.quizzes"):
            said += [cell.source, json.dumps(cell.metadata, ensure_ascii=False)]
            for output in cell.get("outputs", []):
                said += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(said).replace(",", "")


@pytest.mark.parametrize("path", CHAPTERS, ids=NUMBERS)
def test_every_number_of_a_quiz_stands_in_its_chapter(path):
    said, number = what_a_chapter_says(path), path.stem[:2]
    found = {value for question in stored(number) for text in texts(question)
             for value in numbers_in(text)}
    missing = {value for value in found
               if not re.search(rf"(?<![\d.]){re.escape(value)}(?:\.0+)?(?!\d|\.\d)", said)}
    assert missing == {value for where, value in REWRITTEN if where == number}


def test_numbers_are_found():
    assert numbers_in("10,046 steps, 0.5% of 3, p_02, and 94.7%.") == ["10046", "0.5", "3", "94.7"]


# ---- how it is shown

class Elements(HTMLParser):
    """The tags of a text, each closed by its own end, and its words."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data


@pytest.mark.parametrize("number", NUMBERS)
def test_a_quiz_says_all_of_it_as_html_and_as_text(number):
    shown = ap.quizzes.quiz(number)
    page, text = Elements(shown._repr_html_()), " ".join(repr(shown).split())
    for question in stored(number):
        for each in texts(question):
            plain = re.sub(r"</?em>", "", each)
            low = re.sub(r"\b([Eq])_([a-z])\b", r"\1\2", plain)  # its letter is below the line
            assert re.sub(r"</?code>", "", low) in page.words
            assert " ".join(re.sub(r"</?code>", "`", plain).split()) in text
    count = sum(len(question["answers"]) for question in stored(number))
    kinds = Counter(attributes.get("class") for tag, attributes in page.seen if tag == "details")
    assert kinds == {"right": len(stored(number)), "wrong": count - len(stored(number))}
    assert sum(tag == "summary" for tag, _ in page.seen) == count
    assert max(map(len, repr(shown).splitlines())) <= quizzes.WIDTH
    assert shown._repr_html_() == ap.quizzes.quiz(number)._repr_html_(), "not the same each time"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_quiz_needs_no_script_and_nothing_from_elsewhere(number):
    page = ap.quizzes.quiz(number)._repr_html_()
    assert {tag for tag, _ in Elements(page).seen} <= {
        "div", "style", "p", "b", "span", "em", "sub", "code", "details", "summary"}
    assert not re.search(r"url\(|@import|https?:|src=|href=| on\w+=", page)


def test_what_looks_like_markup_in_a_text_is_shown_as_it_is():
    questions = stored("01")[:1]
    questions[0]["question"] = "Is 1 < 2 & <code>a < b</code>?"
    html = ap.quizzes.Quiz("mine", questions)._repr_html_()
    assert "Is 1 &lt; 2 &amp; <code>a &lt; b</code>?" in html
    assert "Is 1 < 2 & `a < b`?" in repr(ap.quizzes.Quiz("mine", questions))


def test_a_symbol_has_its_letter_below_the_line():
    questions = stored("01")[:1]
    questions[0]["question"] = "What is E_p, and what batch_size?"
    made = ap.quizzes.Quiz("mine", questions)
    assert "What is <em>E</em><sub>p</sub>, and what batch_size?" in made._repr_html_()
    assert "What is E_p, and what batch_size?" in repr(made)


# ---- what is refused

@pytest.mark.parametrize("chapter", ["21", "1", 1, None, "../records"])
def test_a_chapter_without_a_quiz_is_refused(chapter):
    with pytest.raises(ValueError, match=r"no quiz is called .*; expected .* one of 01, 02, .* 20"):
        ap.quizzes.quiz(chapter)


def change(path, value):
    """A function that sets one part of the questions; value ``None`` takes it away."""
    def changed(questions):
        *outer, last = path
        inside = questions
        for step in outer:
            inside = inside[step]
        if value is None:
            del inside[last]
        else:
            inside[last] = value
    return changed


BROKEN = {
    "another type": (change([0, "type"], "numeric"), "question 1 of quiz toy must be a dictionary"
                     ' with the type "multiple_choice", got dict'),
    "not a question": (change([1], "What?"), "question 2 of quiz toy must be a dictionary .* str"),
    "no text": (change([0, "question"], " "), 'question 1 of quiz toy: "question" must be a text'),
    "no answers": (change([0, "answers"], None), '"answers" must be a list of at least 2 answers'),
    "one answer": (change([0, "answers"], [{}]), '"answers" must be a list of at least 2 answers'),
    "not true or false": (change([0, "answers", 1, "correct"], "yes"),
                          'question 1 of quiz toy, answer B must be .* "correct" is true or false'),
    "no explanation": (change([0, "answers", 2, "feedback"], None),
                       'answer C: "feedback", which explains it, must be a text, got NoneType'),
    "an answer without text": (change([0, "answers", 0, "answer"], 5), 'A: "answer" must be a text,'
                               " got int"),
    "none right": (change([0, "answers", 1, "correct"], False), "has 0 right answers; expected"
                   " exactly one"),
    "two right": (change([0, "answers", 0, "correct"], True), "has 2 right answers"),
    "markup": (change([0, "question"], "Is it <img src=x>?"), "has the markup <img src=x>; only"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_missing_is_refused(name):
    questions = copy.deepcopy(stored("01"))
    assert [answer["correct"] for answer in questions[0]["answers"]] == [False, True, False]
    ap.quizzes.Quiz("toy", questions)
    breaks, message = BROKEN[name]
    breaks(questions)
    with pytest.raises(ValueError, match=message):
        ap.quizzes.Quiz("toy", questions)


@pytest.mark.parametrize("name", ["", "two words", 'a"b', None])
def test_a_name_that_is_no_anchor_is_refused(name):
    with pytest.raises(ValueError, match="name must be made of letters, digits, - and _"):
        ap.quizzes.Quiz(name, stored("01"))


@pytest.mark.parametrize("questions", [[], None, {}])
def test_a_quiz_without_questions_is_refused(questions):
    with pytest.raises(ValueError, match="questions must be a list with at least one"):
        ap.quizzes.Quiz("toy", questions)


# ---- the chapters

def quiz_of(cells, name):
    """The place of the one cell that shows a quiz."""
    found = [place for place, cell in enumerate(cells)
             if cell.cell_type == "code" and "ap.quizzes.quiz" in cell.source]
    assert len(found) == 1, f"{name}: {len(found)} cells show a quiz; expected one"
    return found[0]


def check_cells(cells, number):
    """The quiz of this chapter stands under its heading, above the exercises."""
    place = quiz_of(cells, number)
    assert cells[place].source == f'ap.quizzes.quiz("{number}")'
    assert cells[place - 1].source.startswith("## Check yourself\n\n")
    assert re.match(r"## Exercises\b", cells[place + 1].source)
    assert any(re.search(r"^## Summary$", cell.source, re.M) for cell in cells[:place])


@pytest.mark.parametrize("path", CHAPTERS, ids=NUMBERS)
def test_a_chapter_shows_its_quiz_as_it_is_now(path):
    cells = nbformat.read(path, as_version=4).cells
    check_cells(cells, path.stem[:2])
    cell = cells[quiz_of(cells, path.name)]
    assert "remove-input" in cell.metadata.tags
    shown = ap.quizzes.quiz(path.stem[:2])
    assert [output.data for output in cell.outputs] == [
        {"text/html": shown._repr_html_(), "text/plain": repr(shown)}], (
        f"{path.name} stores another quiz than it has: run `make refresh CHAPTER=book/{path.name}`")


@pytest.mark.parametrize("path", CHAPTERS, ids=NUMBERS)
def test_students_get_the_quiz_too(path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import student

    original = nbformat.read(path, as_version=4)
    copied = student.without_solutions(original, path.name).cells
    check_cells(copied, path.stem[:2])
    places = quiz_of(original.cells, "original"), quiz_of(copied, "copy")
    assert original.cells[places[0]].outputs == copied[places[1]].outputs != []


# ---- in a browser

PAGE = """<!doctype html><html lang="en"><title>A page</title><meta name="viewport"
content="width=device-width"><body style="background: {0}; color: {1}; font: 16px sans-serif">
<main><h1>A page</h1>{2}<p><a style="color: inherit" href="#x">After it</a></p></main></body></html>
"""
COLORS = {"light": ("#ffffff", "#222832"), "dark": ("#14181e", "#ced6dd")}  # the theme's


@pytest.fixture
def shown(browser):
    """A function that opens a page with the quiz of chapter 19, which has the most questions."""
    contexts = []

    def show(theme="light", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_content(PAGE.format(*COLORS[theme], ap.quizzes.quiz("19")._repr_html_()))
        return page

    yield show
    for context in contexts:
        context.close()


OPEN = "[...document.querySelectorAll('details')].map(each => each.open)"


def test_the_keyboard_alone_opens_every_answer(shown):
    page = shown()
    answers = [answer for question in stored("19") for answer in question["answers"]]
    assert page.evaluate(OPEN) == [False] * len(answers)
    for place, answer in enumerate(answers):
        page.keyboard.press("Tab")
        here = page.evaluate("document.activeElement.closest('details')?.innerText ?? ''")
        assert re.sub("</?em>", "", answer["answer"]) in here and "Right" not in here
        outline = page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid" in outline and "2px" in outline, "the focus cannot be seen"
        page.keyboard.press("Enter" if place % 2 else "Space")
        open_now = page.evaluate(OPEN)
        assert open_now == [True] * (place + 1) + [False] * (len(answers) - place - 1)
        told = page.locator("details").nth(place).inner_text()
        assert ("✓ Right." if answer["correct"] else "✗ Not quite.") in told
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "After it"


def test_a_screen_reader_hears_questions_and_what_can_be_opened(shown):
    page = shown()
    for number, question in enumerate(stored("19"), 1):
        name = re.sub("</?em>", "", f"{number}. {question['question']}")
        group = page.get_by_role("group", name=name, exact=True)
        assert group.count() == 1 and group.locator("summary").count() == len(question["answers"])
    assert page.locator("[aria-hidden=true]:has(*)").count() == 0  # it hides the signs and no more


@pytest.mark.parametrize("theme", COLORS)
def test_axe_finds_nothing_open_or_shut(shown, theme):
    if not AXE.is_file():
        pytest.skip("axe-core is not there: run `python tools/vendor.py`")
    page = shown(theme)
    assert violations(page) == []
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert violations(page) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    borders = page.locator("details").evaluate_all(
        "all => all.map(each => getComputedStyle(each).borderLeftColor)")
    assert len(set(borders)) == 2
    for border in borders:
        assert contrast(border, background) >= 3, f"{border} on {background}"


def luminance(color):
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


def test_it_fits_a_phone_and_a_finger(shown):
    page = shown(viewport={"width": 390, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heights = page.locator("summary").evaluate_all("all => all.map(each => each.offsetHeight)")
    assert min(heights) >= 40


def test_it_works_without_scripts(shown):
    page = shown(java_script_enabled=False)
    page.locator("summary").first.click()
    assert page.locator("details").first.get_attribute("open") is not None
    assert page.locator("details > p").first.is_visible()


def test_on_paper_the_explanations_stay_folded(shown):
    page = shown()
    page.emulate_media(media="print")
    assert page.locator("summary").first.is_visible()
    assert not page.locator("details > p").first.is_visible()
