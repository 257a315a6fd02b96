from html.parser import HTMLParser

from course_utils.grading.markup import to_html
from course_utils.grading.pictures import Album
from course_utils.grading.similar import Pair
from course_utils.grading.similar_page import MAX_LINES, MAX_PAIRS, render_similar

ATTACK = "<img src=x onerror=alert(1)>"
ONE = "a = 1\nb = load(a)\nc = b + 1\n"
TWO = "x = 1\n# why\ny = load(x)\nz = other(y)\n"


class Rows(HTMLParser):
    """The last table of a page: text and mark of each cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows, self.tags = [], set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "table":
            self.rows = []
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append([dict(attrs).get("class", ""), ""])

    def handle_data(self, data):
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1][1] += data


def page(pairs, answers, **options) -> str:
    return render_similar(pairs, answers, title="A lab", course="A course", **options)


def test_lines_that_say_the_same_stand_side_by_side():
    pair = Pair("q", ("ada", "bob"), 0.789, ((1, 2), (1, 3)))
    html = page([pair], {"ada": {"q": ONE}, "bob": {"q": TWO}})
    rows = [row for row in Rows(html).rows if row]
    assert rows[:4] == [
        [["shared", "a = 1"], ["shared", "x = 1"]],
        [["", ""], ["", "# why"]],
        [["shared", "b = load(a)"], ["shared", "y = load(x)"]],
        [["", "c = b + 1"], ["", "z = other(y)"]],
    ]
    assert "79 %" in html
    assert "no verdict" in html


def test_prose_is_shown_as_text():
    shown = to_html("The loss **falls**.\n\nThen < 1.", Album())
    pair = Pair("report", ("ada", "bob"), 0.9, ((1,), (1,)))
    answers = {name: {"report": shown} for name in ("ada", "bob")}
    rows = [row for row in Rows(page([pair], answers, prose=["report"])).rows if row]
    assert rows[0] == [["shared", "The loss falls."], ["shared", "The loss falls."]]
    assert any(cell[1] == "Then < 1." for row in rows for cell in row)


def test_lines_of_prose_that_differ_do_not_face_each_other():
    pair = Pair("report", ("ada", "bob"), 0.9, ((), ()))
    answers = {"ada": {"report": "One.\nTwo."}, "bob": {"report": "Zero.\none.\nTwo."}}
    rows = [row for row in Rows(page([pair], answers, prose=["report"])).rows if row]
    assert [[cell[1] for cell in row] for row in rows] == [
        ["", "Zero."],
        ["One.", "one."],
        ["Two.", "Two."],
    ]


def test_nothing_of_a_student_runs():
    pair = Pair(ATTACK, (ATTACK, "bob"), 0.9, ((1,), (1,)))
    html = page([pair], {ATTACK: {ATTACK: ATTACK}, "bob": {ATTACK: ATTACK}})
    assert ATTACK not in html
    assert not Rows(html).tags & {"img", "script", "link"}
    assert "default-src 'none'" in html


def test_without_pairs_the_page_says_so():
    assert "No pair stands out." in page([], {})


def test_a_page_is_bounded():
    lines = "".join(f"a = {number}\n" for number in range(999))
    answers = {"ada": {"q": lines}, "bob": {"q": lines}}
    html = page([Pair("q", ("ada", "bob"), 0.9, ((1,), (1,)))] * (MAX_PAIRS + 3), answers)
    assert html.count("<section") == MAX_PAIRS
    assert "and 3 more" in html
    assert html.count("<code>a = ") == 2 * MAX_PAIRS * MAX_LINES
