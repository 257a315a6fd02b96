"""nbgrader's form grader works on a grading folder, offline, and runs no student's script."""

import re

import pytest

from course_utils.grading.course import read_course
from course_utils.grading.gradebook import Gradebook, ManualGrade, prepare_folder
from course_utils.grading.lab import read_lab
from tests.browser.harness import running_lab
from tests.grading.records import answered, graded
from tests.grading.small_lab import NAME, write_small_lab

pytestmark = pytest.mark.browser

ATTACK = """The exponential **overflows**: $e^{800}$.

<script>window.attacked = "script"</script>
<img src="x" onerror="window.attacked = 'image'">
[a link](javascript:window.attacked='link')
<textarea id="report_sigmoid-comment"></textarea>
"""
LOADED = "() => window.formgrader?.grades?.loaded && window.formgrader.comments?.loaded"


@pytest.fixture
def gradebook(tmp_path):
    lab = read_lab(write_small_lab(tmp_path / "labs"))
    prepare_folder(tmp_path / "grading")
    with Gradebook(tmp_path / "grading") as gradebook:
        gradebook.register(lab, read_course(tmp_path / "labs" / "course.toml").lab(NAME))
        notebook = answered(lab.folder, report_sigmoid=ATTACK)
        gradebook.record(graded("ada", neuron=1), notebook, b"{}")
        yield gradebook


@pytest.fixture
def server(gradebook, monkeypatch):
    monkeypatch.chdir(gradebook.folder)  # as the instructor's page says: start JupyterLab there
    with running_lab(gradebook.folder) as lab:
        yield lab


def test_a_report_is_graded_in_the_form_grader(page, server, gradebook):
    # Without the network there is no MathJax; formulas stay as they were typed.
    page.allowed_errors += ["cdnjs.cloudflare.com", "MathJax", "ERR_INTERNET_DISCONNECTED"]
    page.route(re.compile("^https:"), lambda route: route.abort("internetdisconnected"))
    page.goto(f"{server.url}/lab", wait_until="domcontentloaded")
    page.get_by_role("menuitem", name="Nbgrader").click(timeout=60_000)
    page.get_by_text("Formgrader", exact=True).click()
    frame = page.frame_locator("iframe[src*=formgrader]")
    for step in ("Manual Grading", NAME, NAME):
        frame.get_by_role("link", name=step, exact=True).last.click()
    page.goto(server.url + frame.get_by_role("link", name="Submission #1").get_attribute("href"))
    page.wait_for_function(LOADED)

    assert page.locator("#neuron_test").get_attribute("placeholder") == "1"
    assert page.locator("#neuron-comment").get_attribute("placeholder") == "The bias is left out."
    assert page.locator(".needs_manual_grade").evaluate_all("all => all.map(e => e.id)") == [
        "report_sigmoid"
    ]
    assert "hidden_test" not in page.content()

    assert page.evaluate("() => window.attacked") is None
    report = page.locator(".nbgrader_cell", has=page.locator("#report_sigmoid"))
    assert "<script>window.attacked" in report.locator(".rendered_html").inner_text()
    assert report.locator(".rendered_html").locator("script, [onerror], textarea").count() == 0

    for cell, text, kind in (
        ("#report_sigmoid", "4.5", "grade"),
        ("#report_sigmoid-comment", "Say why <b>it</b> helps.", "comment"),
    ):
        page.fill(cell, text)
        with page.expect_response(f"**/formgrader/api/{kind}/*") as answer:
            page.locator(cell).blur()
        assert answer.value.ok

    assert gradebook.manual_grades("ada", NAME) == [
        ManualGrade("report_sigmoid", 5, 4.5, "Say why <b>it</b> helps.")
    ]
    score = gradebook.scores(NAME)["ada"]
    assert (score.earned, score.needs_manual) == (7.5, False)
