"""The form of every notebook, as style.md section 1 asks; the runs themselves are nbval's."""

import ast
import base64
import re
from pathlib import Path

import nbformat
import pytest

from course_utils.authoring.notebooks import MAX_BYTES, read_source, sources

ROOT = Path(__file__).parents[2]
SOURCES = sources(ROOT)
KINDS = (
    "Why",
    "The idea in symbols",
    "Build it",
    "Check it",
    "Try it",
    "Explore it",
    "Exercises",
    "Recap",
)
# Calls that draw random numbers, or seed a global source.
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
DRAWING_METHODS = {"normal_", "uniform_", "trunc_normal_", "random_", "bernoulli_", "dropout_"}
NETWORK = re.compile(r"https?://|urllib|requests\.|!wget|!curl|[%!]\s*pip|apt-get")


@pytest.fixture(params=SOURCES, ids=lambda p: p.stem)
def source(request):
    return request.param


@pytest.fixture
def draft(source):
    return read_source(source)


@pytest.fixture
def published(source):
    return nbformat.read(source.parents[1] / f"{source.stem}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def headings(notebook) -> list[str]:
    return [
        line[3:]
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("## ")
    ]


def test_source_and_notebook_agree(draft, published):
    """The .ipynb is what the .py becomes; `make notebooks` mends a difference."""
    assert [(c.cell_type, c.id, c.source) for c in draft.cells] == [
        (c.cell_type, c.id, c.source) for c in published.cells
    ]


def test_cell_ids_are_unique(draft):
    ids = [cell.id for cell in draft.cells]
    assert len(set(ids)) == len(ids)


def test_opening(draft):
    """A title that is a verb phrase, and what will be built, learnt and needed."""
    text = draft.cells[0].source
    assert text.startswith("# ")
    for part in ("**You will build**", "**You will learn**", "**You need**"):
        assert part in text
    assert re.search(r"[Rr]eviewed \d{4}-\d{2}-\d{2}", text), "no review date"
    assert len(text.split()) <= 150
    first = code_cells(draft)[0].source.splitlines()
    assert len([line for line in first if line.strip()]) <= 15, "the import cell is too long"


def test_sections_are_there_and_in_order(draft):
    found = [heading.split(":")[0] for heading in headings(draft)]
    unknown = [heading for heading in found if heading not in KINDS]
    assert unknown == []
    assert set(found) == set(KINDS)
    assert found[0] == "Why"
    assert found[-2:] == ["Exercises", "Recap"]


def test_what_is_built_is_checked_at_once(draft):
    found = [heading.split(":")[0] for heading in headings(draft)]
    for number, heading in enumerate(found):
        if heading == "Build it":
            later = [h for h in found[number + 1 :] if h in ("Build it", "Check it")]
            assert later[:1] == ["Check it"], f"section {number} is built and not checked"


def test_cells_are_short(draft):
    for cell in code_cells(draft):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= 30, f"{cell.id} has {len(lines)} lines"


def draws_unseeded(call: ast.Call) -> bool:
    """Say whether a call draws from, or seeds, a source that was not passed to it."""
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    if name in ("torch.manual_seed", "random.seed", "torch.cuda.manual_seed_all"):
        return True
    if re.fullmatch(r"np\.random\.\w+", name):
        return last not in ("default_rng", "Generator")
    is_draw = (name.startswith("torch.") and last in TORCH_DRAWS) or last in DRAWING_METHODS
    return is_draw and "generator" not in {keyword.arg for keyword in call.keywords}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("torch.manual_seed(0)", True),
        ("torch.Generator().manual_seed(0)", False),
        ("torch.randn(3)", True),
        ("torch.randn(\n    3,\n    generator=generator)", False),
        ("np.random.rand(3)", True),
        ("np.random.default_rng(0)", False),
        ("np.random.default_rng(0).normal(size=3)", False),
        ("nn.init.normal_(w, std=1)", True),
        ("w.uniform_(0, 1, generator=g)", False),
    ],
)
def test_the_search_for_unseeded_draws_finds_them(code, expected):
    assert draws_unseeded(ast.parse(code).body[0].value) is expected


def test_randomness_is_passed_and_nothing_is_fetched(draft):
    for cell in code_cells(draft):
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Global), f"{cell.id} uses global"
            if isinstance(node, ast.Call):
                assert not draws_unseeded(node), f"{cell.id}: {ast.unparse(node)}"
        assert not NETWORK.search(cell.source), cell.id


def test_figures_have_words_and_a_caption(published):
    """Every picture has alternative text; the next text cell after a figure is its caption."""
    cells = published.cells
    for number, cell in enumerate(cells):
        pictures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        for output in pictures:
            alt = output.metadata.get("image/png", {}).get("alt", "")
            assert len(alt.split()) >= 5, f"{cell.id} draws without words"
        if pictures and "show(" in cell.source:
            following = cells[number + 1]
            assert re.match(r"\*Figure \d+\. .+", following.source), f"{cell.id} has no caption"


def test_captions_are_numbered_in_order(draft):
    numbers = [
        int(match[1])
        for cell in draft.cells
        if (match := re.match(r"\*Figure (\d+)\. ", cell.source))
    ]
    assert numbers == list(range(1, len(numbers) + 1))


def test_pictures_are_not_blank(published):
    for cell in code_cells(published):
        for output in cell.outputs:
            picture = output.get("data", {}).get("image/png")
            if picture:
                assert len(base64.b64decode(picture)) > 3000, f"{cell.id} drew next to nothing"


def test_outputs_are_stored_without_state_or_trouble(source, published):
    assert "widgets" not in published.metadata
    size = (source.parents[1] / f"{source.stem}.ipynb").stat().st_size
    assert size <= MAX_BYTES
    for cell in code_cells(published):
        assert cell.execution_count, f"{cell.id} was not executed"
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", f"{cell.id} warns"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
    assert [c.execution_count for c in code_cells(published)] == list(
        range(1, len(code_cells(published)) + 1)
    )


def test_no_machine_path_is_stored(published):
    assert not re.search(r"/(home|Users|tmp|root|work)/\w", nbformat.writes(published))
