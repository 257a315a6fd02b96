import base64
import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.filters import ansi2html, markdown2html
from PIL import Image

from course_utils.grading.markup import (
    MAX_DOLLARS,
    MAX_ENVIRONMENTS,
    MAX_MARKDOWN,
    as_typed,
    clean,
    is_made_here,
    is_plain_formula,
    to_html,
    visible,
)
from course_utils.grading.pictures import Album
from tests.grading.hostile_markup import MARKDOWN

TAGS = (
    "a blockquote br code del div em h1 h2 h3 h4 h5 h6 hr img li ol p pre s span strong "
    "table tbody td th thead tr ul"
)


def png() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 3), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


class Reader(HTMLParser):
    """What a browser would see: elements, attributes, text, and text that is typeset."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text, self.formulas = set(), [], "", []
        self.stack: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in ("br", "hr", "img"):
            self.stack.append(dict(attrs).get("class") or tag)

    def handle_endtag(self, tag):
        self.stack.pop()

    def handle_data(self, data):
        self.text += data
        if self.stack and "mathjax_process" in self.stack[-1]:
            self.formulas.append(data)

    def handle_comment(self, data):
        self.tags.add("comment")


def assert_harmless(html: str) -> Reader:
    seen = Reader(html)
    assert seen.tags <= set(TAGS.split())
    for tag, name, value in seen.attributes:
        if name == "href":
            assert value.lower().startswith(("http:", "https:", "mailto:"))
        elif name == "src":
            assert value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
        else:
            assert (tag, name) in {
                ("a", "rel"),
                ("div", "class"),
                ("img", "alt"),
                ("ol", "start"),
                ("span", "class"),
            }
    assert all(is_plain_formula(formula.strip("$")) for formula in seen.formulas)
    return seen


@pytest.mark.parametrize("source", MARKDOWN, ids=range(len(MARKDOWN)))
def test_attacks_become_harmless(source):
    html = to_html(source, Album())
    assert_harmless(html)
    assert is_made_here(html)
    assert "\n" not in html


SIGNS = [*"<>[]()!`*_$\\&;:#|~-\"'/ \n\ta1", "javascript:", "http://x.y", "<img src=x onerror=a>"]


@given(st.lists(st.sampled_from([*SIGNS, "\\begin{align}", "\\href{a}{b}", "&#36;"])).map("".join))
def test_any_text_becomes_harmless(source):
    html = to_html(source, Album())
    assert_harmless(html)
    # nbconvert takes it for one block of HTML and leaves it as it is.
    assert markdown2html(html).strip() == html
    assert clean(html) == html


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a < b and b > a & c", "a < b and b > a & c"),
        ("`if a < b:`", "if a < b:"),
        ("```python\nif a < b:\n\n    return '&lt;'\n```", "if a < b:\n\n    return '&lt;'\n"),
        ("    indented <code>", "indented <code>"),
        ("<b>bold</b> <!-- unseen -->", "<b>bold</b> <!-- unseen -->"),
        ("x<y and z>w", "x<y and z>w"),
        ("*a* **b** ~~c~~", "a b c"),
        ("2 * 3 * 4 and a_b_c", "2 * 3 * 4 and a_b_c"),
        ("损失 < 0.4，见图 1", "损失 < 0.4，见图 1"),
    ],
)
def test_what_was_typed_is_read(source, text):
    assert Reader(to_html(source, Album())).text.strip("\n") == text.strip("\n")


def test_markdown_is_rendered():
    html = to_html("# Title\n\n- one\n- two\n\n|a|b|\n|-|-|\n|1|2|\n\n3. three\n\n> q", Album())
    for part in ("<h1>Title</h1>", "<li>one</li>", "<td>2</td>", '<ol start="3">', "<blockquote>"):
        assert part in html


def test_links_to_the_web_stay_links():
    html = to_html("[a](https://a.org/b?c=1&d=2) <https://a.org> [m](mailto:a@b.org)", Album())
    assert html.count("<a ") == 3
    assert 'href="https://a.org/b?c=1&amp;d=2" rel="noopener noreferrer nofollow"' in html


@pytest.mark.parametrize("target", ["/logout", "files/x.html", "#top", "ftp://a.org", "?x"])
def test_other_links_become_text(target):
    assert "<a " not in to_html(f"[x]({target}) [y][r]\n\n[r]: {target}", Album())


def test_attached_pictures_are_shown_where_they_stand():
    attached = {"my loss.png": {"image/png": png()}}
    for name in ("<attachment:my loss.png>", "attachment:my%20loss.png"):
        html = to_html(f"before ![the loss]({name}) after", Album(), attached)
        assert 'before <img src="data:image/png;base64,' in html
        assert html.count("<img") == 1
        assert 'alt="the loss"' in html


def test_attached_pictures_that_html_shows_come_at_the_end():
    html = to_html('<img src="attachment:a.png">', Album(), {"a.png": {"image/png": png()}})
    assert html.index("&lt;img") < html.index("<img src=")


def test_written_out_pictures_are_kept():
    assert "<img" in to_html(f"![x](data:image/png;base64,{png()})", Album())


def test_remote_pictures_are_named_and_left_out():
    html = to_html("![a plot](https://a.org/x.png)", Album())
    assert "[picture left out: a plot]" in html
    assert "a.org" not in html


@pytest.mark.parametrize(
    "attached", [None, [], "x", {"a": None}, {"a": {"image/png": 3}}, {3: {}}, {"a": {"b": "c"}}]
)
def test_malformed_attachments_are_no_trouble(attached):
    assert "<img" not in to_html("![x](attachment:a)", Album(), attached)


@pytest.mark.parametrize(
    "formula",
    [
        "x^2",
        r"\frac{\partial L}{\partial W} = \sum_i x_i \delta_i",
        r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
        r"\mathbb{R}^{n \times m}, \; \hat{y} \in [0, 1]",
        r"\left\{ x : x < 1 \right\}",
        r"\text{where } a \neq b",
        r"a \\href b",
    ],
)
def test_plain_formulas_are_typeset(formula):
    assert is_plain_formula(formula)
    assert Reader(to_html(f"${formula}$", Album())).formulas == [f"${formula}$"]


@pytest.mark.parametrize(
    "formula",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\HREF{x}",
        r"\begin{href}x\end{href}",
        r"\begin x\end x",
        r"\begingroup x",
        "x\\",
        "x\\\nhref",
        r"\def\x{\x\x}\x",
        r"a$b",
        r"a\$b",
        "{" * 31 + "}" * 31,
        "}{",
        "{x",
        "x" * 4001,
    ],
)
def test_other_formulas_stay_text(formula):
    assert not is_plain_formula(formula)


def test_a_formula_that_is_not_typeset_is_still_read():
    html = to_html(r"see $\href{a}{b}$", Album())
    assert r"<code>$\href{a}{b}$</code>" in html


@pytest.mark.parametrize(
    "source",
    [
        "x" * (MAX_MARKDOWN + 1),
        "$x$ " * MAX_DOLLARS,
        "\\begin{align}\n" * (MAX_ENVIRONMENTS + 1),
    ],
    ids=["long", "dollars", "environments"],
)
def test_what_takes_long_to_parse_is_shown_as_typed(source):
    assert to_html(source, Album()) == as_typed(source)
    assert Reader(as_typed(source)).text == source


def test_deep_nesting_ends():
    html = to_html("> " * 3000 + "x\n\n" + "- " * 3000 + "y", Album())
    assert html.count("<blockquote>") < 30


def test_clean_takes_no_foreign_html():
    html = clean('<p onclick="a()" class="x" id="y" style="z">a<script>b</script></p><img src=c>')
    assert_harmless(html)
    assert "<p>a" in html
    assert "href" not in clean('<a href="/logout">a</a><a href="data:text/html,x">b</a>')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext é 文 😀", "plain\n\ttext é 文 😀"),
        (["a\n", "b"], "a\nb"),
        (["a", 3, None], "a"),
        (None, ""),
        ({"a": 1}, ""),
        ("a\x00b\x07", "a<U+0000>b<U+0007>"),
        ("admin\u202e\u2066", "admin<U+202E><U+2066>"),
        ("10%\r50%\r100%\ndone\r\n", "100%\ndone\n"),
        ("\ud800", "?"),
        ("a\x1b[31mb", "a<U+001B>[31mb"),
    ],
)
def test_nothing_unseen_stays(text, shown):
    assert visible(text, 100) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[38;5;28;01mx\x1b[39m", "\x1b[38;5;28;01mx\x1b[39m"),
        ("\x1b[mx", "\x1b[mx"),
        ("\x1b[38mx", "x"),
        ("\x1b[038mx", "x"),
        ("\x1b[1;48mx", "x"),
        ("\x1b[48;2;1mx", "x"),
        ("\x1b[2J\x1b[Hx\x1b", "x"),
        ("\x1b]8;;x\x07", "]8;;x<U+0007>"),
    ],
)
def test_only_colours_stay_of_a_terminal(text, shown):
    assert visible(text, 100, colours=True) == shown
    ansi2html(shown)


@given(st.lists(st.sampled_from(["\x1b[", "\x1b", *"0123456789;mHJ[", "38", "48;5;", "x"])))
def test_whatever_a_program_prints_can_be_shown(parts):
    ansi2html(visible("".join(parts), 1000, colours=True))


def test_a_long_text_is_cut_and_says_so():
    assert visible("x" * 30, 10) == "x" * 10 + "\n[left out: 20 more characters]\n"
    assert visible("x" * 10, 10) == "x" * 10
    assert len(visible("\0" * 100, 100)) == 200
