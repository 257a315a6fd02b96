r"""Text and Markdown of strangers, as HTML that runs nothing, fetches nothing, hides nothing.

Markdown is parsed with raw HTML off, so that what a student typed as HTML is read as
text. What comes out passes `nh3`, a sanitiser, before anyone sees it. A formula is
typeset only where it uses the plain macros of mathematics; one with ``\href``,
``\require`` or a definition of its own stays as the text that was typed.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

from course_utils.grading.pictures import Album

__all__ = [
    "MAX_MARKDOWN",
    "as_typed",
    "clean",
    "is_made_here",
    "is_plain_formula",
    "to_html",
    "visible",
]

MAX_MARKDOWN = 50_000  # characters; longer text is shown as it was typed
# The parser's time grows with the square of these numbers.
MAX_DOLLARS = 1000
MAX_ENVIRONMENTS = 100
MAX_FORMULA = 4000  # characters
MAX_BRACES = 30

# MathJax, of whatever version, leaves alone what carries the first pair of classes and
# takes up what carries the second.
_OPEN = '<div class="mathjax_ignore tex2jax_ignore">'
_FORMULA = '<span class="mathjax_process tex2jax_process">'
_TAGS = (
    "a blockquote br code del div em h1 h2 h3 h4 h5 h6 hr img li ol p pre s span strong "
    "table tbody td th thead tr ul"
)
_LINK = re.compile(r"(?:https?|mailto):[^\s]*", re.I)
_PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]*)")
_MACRO = re.compile(r"\\(begin|end)\s*\{([^}]*)\}|\\([A-Za-z]+|.|$)", re.S)
_ENVIRONMENTS = (
    "align align* aligned array Bmatrix bmatrix cases equation equation* gather gather* gathered "
    "matrix multline multline* pmatrix smallmatrix split Vmatrix vmatrix"
)
_SIGNS = "\\,;:!{}|_%#& >"
_MACROS = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi
    varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi
    Pi Sigma Upsilon Phi Psi Omega ell hbar imath jmath Re Im wp aleph infty partial nabla emptyset
    varnothing forall exists nexists neg lnot top bot prime angle triangle Box
    times div cdot ast star circ bullet pm mp oplus ominus otimes odot oslash cap cup setminus wedge
    vee land lor sqcup sqcap dagger
    le leq ge geq lt gt ne neq ll gg equiv sim simeq approx cong propto asymp doteq in notin ni
    subset subseteq supset supseteq subsetneq perp parallel mid nmid models vdash prec succ preceq
    succeq leqslant geqslant triangleq coloneqq not
    to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow longrightarrow
    longleftarrow Longrightarrow Longleftarrow longmapsto mapsto implies impliedby iff uparrow
    downarrow hookrightarrow xrightarrow xleftarrow
    sum prod coprod int iint iiint oint bigcup bigcap bigoplus bigotimes bigvee bigwedge limits
    nolimits lim limsup liminf sup inf max min arg argmax argmin det dim ker exp log ln lg sin cos
    tan cot sec csc sinh cosh tanh coth arcsin arccos arctan gcd deg hom Pr bmod pmod mod
    frac dfrac tfrac cfrac binom dbinom tbinom sqrt stackrel overset underset substack atop over
    hat widehat bar overline underline tilde widetilde vec dot ddot dddot acute grave breve check
    overbrace underbrace overrightarrow overleftarrow boxed
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr lvert rvert
    lVert rVert vert Vert langle rangle lfloor rfloor lceil rceil lbrace rbrace lbrack rbrack
    backslash
    mathbb mathbf mathcal mathfrak mathit mathrm mathscr mathsf mathtt boldsymbol bm pmb bf it rm
    cal text textbf textit textrm textsf texttt textnormal mbox operatorname displaystyle textstyle
    scriptstyle scriptscriptstyle
    ldots cdots vdots ddots dots dotsc dotsb quad qquad enspace thinspace phantom hphantom vphantom
    hline tag notag nonumber label
"""
# Colours and weights as IPython prints them. nbconvert fails on some other sequences, such
# as a 38 that no colour follows.
_CODE = r"(?:[34]8;5;\d{1,3}|(?!0*[34]8(?!\d))\d{1,3})"
# What no reader can see: commands to a terminal, control characters, and marks that
# reorder the text after them.
_UNSEEN = re.compile(
    rf"(?P<colour>\x1b\[(?:{_CODE}(?:;{_CODE})*)?m)"
    r"|(?P<command>\x1b(?:\[[0-?]*[ -/]*[@-~]?)?)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def visible(text: Any, limit: int, *, colours: bool = False) -> str:
    """Return a text of a notebook with nothing unseen in it, cut after ``limit`` characters.

    A notebook's text may be a list of lines. Anything else gives no text. Where a line
    was written over, as progress bars do, the last state stays.

    Parameters
    ----------
    colours
        True for what a program printed: colours for a terminal stay, its other commands go.
    """
    if isinstance(text, Sequence) and not isinstance(text, str):
        text = "".join(part for part in text if isinstance(part, str))
    if not isinstance(text, str):
        return ""

    left_out = len(text) - limit
    text = text[:limit].encode("utf-8", "replace").decode("utf-8")  # lone surrogates
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    text = _UNSEEN.sub(lambda match: _show(match, colours), "\n".join(lines))[: 2 * limit]
    return text + (f"\n[left out: {left_out} more characters]\n" if left_out > 0 else "")


def to_html(source: str, album: Album, attachments: Any = None) -> str:
    """Return Markdown as one line of safe HTML, with the pictures that it shows inside.

    Only links to the web and to mail addresses stay links. Of pictures only those stay
    that came with the text: attached ones, and those written as ``data:``. Attached
    pictures that no Markdown shows come at the end.
    """
    if not _is_quickly_read(source):
        return as_typed(source)
    attached = dict(_attached(attachments))
    shown: set[str] = set()
    body = _parser().render(source, {"album": album, "attached": attached, "shown": shown})
    for name in attached:
        if name not in shown:
            body += f"<p>{_picture(album, attached[name], name)}</p>"
    return clean(f"{_OPEN}{body}</div>")


def as_typed(source: str) -> str:
    """Return a text as one line of HTML that shows it as it was typed."""
    return clean(f"{_OPEN}<pre>{_escape(source)}</pre></div>")


def clean(html: str) -> str:
    """Let through what is on the list; no line break is left, so Markdown takes it as one block."""
    import nh3

    cleaned = nh3.clean(
        html,
        tags=set(_TAGS.split()),
        attributes={"a": {"href"}, "img": {"src", "alt"}, "ol": {"start"}},
        allowed_classes={
            "div": {"mathjax_ignore", "tex2jax_ignore"},
            "span": {"mathjax_process", "tex2jax_process"},
        },
        attribute_filter=_keep_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
    )
    return cleaned.replace("\n", "&#10;")


def is_made_here(source: str) -> bool:
    """Say whether a Markdown cell looks as if `to_html` had made it."""
    return source.startswith(_OPEN)


def is_plain_formula(formula: str) -> bool:
    """Say whether a formula in TeX uses nothing but the macros of plain mathematics."""
    if len(formula) > MAX_FORMULA:
        return False
    depths = [0]
    for sign in re.sub(r"\\.", "", formula, flags=re.S):
        if sign in "{}":
            depths.append(depths[-1] + (1 if sign == "{" else -1))
    if depths[-1] != 0 or min(depths) < 0 or max(depths) > MAX_BRACES or "$" in formula:
        return False
    environments, macros = set(_ENVIRONMENTS.split()), {*_MACROS.split(), *_SIGNS}
    return all(
        match[2] in environments if match[1] else match[3] in macros
        for match in _MACRO.finditer(formula)
    )


def _show(match: re.Match[str], colours: bool) -> str:
    if colours and match["colour"]:
        return match[0]
    if colours and match["command"]:
        return ""
    return f"<U+{ord(match[0][0]):04X}>{match[0][1:]}"


def _is_quickly_read(source: str) -> bool:
    return (
        len(source) <= MAX_MARKDOWN
        and source.count("$") <= MAX_DOLLARS
        and source.count("\\begin") <= MAX_ENVIRONMENTS
    )


def _attached(attachments: Any) -> Any:
    """Yield the name and base64 text of each attached picture."""
    if not isinstance(attachments, Mapping):
        return
    for name, bundle in attachments.items():
        if isinstance(name, str) and isinstance(bundle, Mapping):
            for mime in ("image/png", "image/jpeg"):
                if mime in bundle:
                    yield name, bundle[mime]
                    break


def _picture(album: Album, coded: Any, alt: str) -> str:
    picture = album.take(coded) if coded else None
    if picture is None:
        return f"<em>[picture left out: {_escape(alt)}]</em>"
    return f'<img src="{picture.url}" alt="{_escape(alt)}">'


def _escape(text: str) -> str:
    from html import escape

    return escape(text, quote=True)


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.amsmath import amsmath_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
    parser.enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, allow_labels=False, double_inline=True).use(amsmath_plugin)
    parser.validateLink = lambda url: bool(
        _LINK.fullmatch(url) or _PICTURE.fullmatch(url) or url.startswith("attachment:")
    )
    parser.add_render_rule("image", _render_image)
    for name in ("math_inline", "math_inline_double", "math_block", "amsmath"):
        parser.add_render_rule(name, _render_formula)
    return parser


def _render_image(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alt = renderer.renderInlineAsText(token.children or [], options, env)
    url = token.attrGet("src") or ""
    coded: Any = None
    if written := _PICTURE.fullmatch(url):
        coded = written[1]
    elif url.startswith("attachment:"):
        name = url.removeprefix("attachment:")
        name = name if name in env["attached"] else unquote(name)
        coded = env["attached"].get(name)
        env["shown"].add(name)
    return _picture(env["album"], coded, alt or "a picture without a description")


def _render_formula(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    mark, formula = token.markup if "$" in token.markup else "", token.content.strip()
    tag = "div" if token.block else "span"
    if not is_plain_formula(formula):
        return f"<{tag}><code>{_escape(mark + formula + mark)}</code></{tag}>"
    return f"<{tag}>{_FORMULA}{_escape(mark + formula + mark)}</span></{tag}>"


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href" and not _LINK.fullmatch(value):
        return None
    if name == "src" and not _PICTURE.fullmatch(value):
        return None
    return value
