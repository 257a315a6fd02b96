"""DistributionPair: two distributions, and what it costs to take one for the other."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from traitlets import Dict, Float, Int, List, Unicode, validate

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.divergence import UNITS, Measures, measures

__all__ = ["DistributionPair"]

TASK = (
    "Find a q other than p with KL(p‖q) = KL(q‖p). Then make KL(p‖q) infinite: how small can "
    "you keep JS?"
)
MAX_OUTCOMES = 8
DECK = (0.2, 0.7, 0.1)
HUMPS = (0.12, 0.37, 0.01, 0.01, 0.37, 0.12)
PRESETS = {
    "the deck's (.2, .7, .1)": (DECK, (0.4, 0.3, 0.3), "the lecture's numbers as the truth"),
    "one-hot target": ((0, 1, 0), DECK, "the lecture's example: H(p) is 0, all the rest is KL"),
    "equal": (DECK, DECK, "every divergence is 0, and H(p, q) is H(p)"),
    "missing outcome": (DECK, (0.25, 0.75, 0), "q rules out what happens: KL(p‖q) is infinite"),
    "mode-covering": (
        HUMPS,
        (0.13, 0.18, 0.19, 0.19, 0.18, 0.13),
        "q covers both humps and the gap: a low KL(p‖q)",
    ),
    "mode-seeking": (
        HUMPS,
        (0.24, 0.74, 0.005, 0.005, 0.005, 0.005),
        "q settles on one hump: a lower KL(q‖p)",
    ),
}


class DistributionPair(CourseWidget):
    """Show two distributions over the same outcomes, their entropies and divergences.

    Parameters
    ----------
    p, q
        Probabilities of 2 to 8 outcomes, the same number in both; each sums to 1.
    unit
        "nats" or "bits".
    edited, outcome
        The bar that the keys move: "p" or "q", and the outcome counted from 0.

    Raises
    ------
    ValueError
        If an argument is no distribution, or the lengths differ.
    """

    _esm = load_esm("divergence.js")
    p = List(Float()).tag(sync=True)
    q = List(Float()).tag(sync=True)
    unit = Unicode("nats").tag(sync=True)
    edited = Unicode("q").tag(sync=True)
    outcome = Int().tag(sync=True)
    presets = Dict().tag(sync=True)
    initial = Dict().tag(sync=True)

    def __init__(
        self,
        p: Any = DECK,
        q: Any = (0.4, 0.3, 0.3),
        *,
        unit: str = "nats",
        edited: str = "q",
        outcome: int = 0,
        task: str = TASK,
    ) -> None:
        state = {
            "p": _distribution("p", p),
            "q": _distribution("q", q),
            "unit": _choice("unit", unit, tuple(UNITS)),
            "edited": _choice("edited", edited, ("p", "q")),
            "outcome": outcome,
        }
        _same_length(state["p"], state["q"])
        _check_outcome(outcome, len(state["p"]))
        presets = {
            name: {"title": title, "p": list(first), "q": list(second), "outcome": 0}
            for name, (first, second, title) in PRESETS.items()
        }
        super().__init__(**state, task=task, presets=presets, initial=dict(state))

    @validate("p", "q")
    def _valid_distribution(self, proposal: Any) -> list[float]:
        name = proposal["trait"].name
        value = _distribution(name, proposal["value"])
        _same_length(*((value, self.q) if name == "p" else (self.p, value)))
        return value

    @validate("unit", "edited")
    def _valid_choice(self, proposal: Any) -> str:
        name = proposal["trait"].name
        return _choice(name, proposal["value"], tuple(UNITS) if name == "unit" else ("p", "q"))

    @validate("outcome")
    def _valid_outcome(self, proposal: Any) -> int:
        return _check_outcome(proposal["value"], len(self.p))

    def measures(self) -> Measures:
        """Return entropies and divergences in the unit on show."""
        return measures(self.p, self.q).in_unit(self.unit)

    def description(self) -> str:
        """Say both distributions and all that is measured."""
        m = self.measures()
        first, second = (", ".join(f"{v:.3g}" for v in part) for part in (self.p, self.q))
        return (
            f"p = ({first}), q = ({second}). In {self.unit}: H(p) = {_say(m.h_p)}, "
            f"H(q) = {_say(m.h_q)}, H(p, q) = H(p) + KL(p‖q) = {_say(m.h_p)} + {_say(m.kl_pq)} = "
            f"{_say(m.h_pq)}, KL(q‖p) = {_say(m.kl_qp)}, JS = {_say(m.js)}."
        )

    def picture(self) -> Figure:
        """Draw the two distributions beside the scale of what is measured."""
        fig = Figure(figsize=(9.0, 3.6), layout="constrained")
        left, right = fig.subplots(1, 2, width_ratios=(5, 6))
        number = len(self.p)
        for shift, name, values, look in (
            (-0.2, "p", self.p, _LOOKS["p"]),
            (0.2, "q", self.q, _LOOKS["q"]),
        ):
            places = [k + 1 + shift for k in range(number)]
            left.bar(places, values, width=0.36, label=name, **look)
        left.set(xlabel="outcome", ylabel="probability", ylim=(0, 1), xticks=range(1, number + 1))
        left.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
        _draw_scale(right, self.measures(), self.unit)
        return fig


_LOOKS = {
    "p": {"facecolor": PALETTE["blue"], "edgecolor": PALETTE["blue"]},
    "q": {"facecolor": "white", "edgecolor": PALETTE["vermilion"], "hatch": "////"},
    "kl": {"facecolor": "white", "edgecolor": PALETTE["purple"], "hatch": "\\\\\\\\"},
    "js": {"facecolor": "white", "edgecolor": PALETTE["green"], "hatch": "...."},
}


def _draw_scale(ax: Axes, m: Measures, unit: str) -> None:
    both = "is infinite"
    if math.isfinite(m.kl_pq):
        both = f"= {_say(m.h_p)} + {_say(m.kl_pq)} = {_say(m.h_pq)}"
    rows = {
        f"H(p) = {_say(m.h_p)}": [(m.h_p, "p")],
        f"H(q) = {_say(m.h_q)}": [(m.h_q, "q")],
        f"H(p, q) = H(p) + KL(p‖q) {both}": [(m.h_p, "p"), (m.kl_pq, "kl")],
        f"KL(q‖p) = {_say(m.kl_qp)}": [(m.kl_qp, "kl")],
        f"JS = {_say(m.js)}": [(m.js, "js")],
    }
    finite = [sum(v for v, _ in parts) for parts in rows.values()]
    longest = max([1.0, *(v for v in finite if math.isfinite(v))])
    for place, (words, parts) in enumerate(rows.items()):
        start = 0.0
        for value, look in parts:
            width = value if math.isfinite(value) else 1.25 * longest - start
            ax.barh(place, width, left=start, height=0.4, **_LOOKS[look])
            start += width
        ax.annotate(words, (0, place - 0.2), (3, 3), textcoords="offset points", va="bottom")
    # The words stand above the bars: the scale needs neither ticks nor a name on this side.
    ax.set(xlabel=unit, xlim=(0, 1.3 * longest), ylim=(len(rows) - 0.6, -0.8), yticks=[])


def _say(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "infinity"


def _choice(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {known}; got {value!r}")
    return value


def _same_length(p: list[float], q: list[float]) -> None:
    if len(p) != len(q):
        raise ValueError(
            f"p and q must have the same number of outcomes; got {len(p)} and {len(q)}. "
            "To change both, set them inside `with widget.hold_trait_notifications():`"
        )


def _check_outcome(value: int, number: int) -> int:
    if not 0 <= value < number:
        raise ValueError(f"outcome must lie in 0 to {number - 1}; got {value!r}")
    return value


def _distribution(name: str, values: Any) -> list[float]:
    array = finite_array(name, values, (None,))
    if not 2 <= len(array) <= MAX_OUTCOMES:
        raise ValueError(f"{name} must hold 2 to {MAX_OUTCOMES} probabilities; got {len(array)}")
    if (array < 0).any():
        index = int(np.argmax(array < 0))
        raise ValueError(f"{name} must not be negative; got {array[index]:g} at index {index}")
    total = float(array.sum())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"{name} must sum to 1; got {total:g}. Divide it by its sum")
    return array.tolist()
