"""LossSurface: loss surfaces in three dimensions beside their contour maps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from traitlets import Bool, Bytes, Dict, Float, Int, List, Unicode, validate

from course_utils.figures import PALETTE
from course_utils.landscape import SurfaceGrid
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.surface import Interpolant, Scale, check_path, scale_of

__all__ = ["LossSurface"]

TASK = "Turn the surface and move the point: how steep are the walls, how wide is the valley?"
# Beyond this the state would pass the 500 KB that a widget may send at first.
MOST_POINTS = 115_000


class LossSurface(CourseWidget):
    """Show loss surfaces in three dimensions, each beside its contour map.

    Parameters
    ----------
    surfaces
        Title of each surface and its grid.
    paths
        For some of the titles, a training path projected on the plane, as (alpha, beta).
    title
        The surface on show; None takes the first.
    point
        Where the loss is read; None takes the start of the path, or a place off the centre.
    azimuth, elevation
        The view, in degrees; at (0, 90) it is a map with alpha to the right, beta up.
    shared
        Whether all surfaces have one scale of colour and height.
    log_height
        Whether that scale is logarithmic; None decides by the range of the losses.
    step
        The point of the path on show; None takes the last.

    Raises
    ------
    ValueError
        If an argument is unknown, out of range or not finite, or a path misses its surface.
    """

    _esm = load_esm("surface.js")
    title = Unicode().tag(sync=True)
    point = List(Float()).tag(sync=True)
    azimuth = Float().tag(sync=True)
    elevation = Float().tag(sync=True)
    shared = Bool().tag(sync=True)
    log_height = Bool().tag(sync=True)
    step = Int().tag(sync=True)
    surfaces = List().tag(sync=True)
    losses = Bytes().tag(sync=True)
    paths = Bytes().tag(sync=True)
    initial = Dict().tag(sync=True)

    def __init__(
        self,
        surfaces: Any,  # a dict of title and SurfaceGrid; other things get a readable error
        paths: Mapping[str, Any] | None = None,
        *,
        title: str | None = None,
        point: Any = None,
        azimuth: float = -35.0,
        elevation: float = 35.0,
        shared: bool = True,
        log_height: bool | None = None,
        step: int | None = None,
        task: str = TASK,
    ) -> None:
        self._grids = _checked_surfaces(surfaces)
        self._paths = _checked_paths(paths or {}, self._grids)
        self._readers = {name: Interpolant.of(grid) for name, grid in self._grids.items()}
        name = next(iter(self._grids)) if title is None else title
        if name not in self._grids:
            raise ValueError(f"title must be one of {list(self._grids)}; got {name!r}")
        path = self._paths[name]
        losses = [grid.loss for grid in self._grids.values()]
        if log_height is None:
            log_height = scale_of(*losses).log
        state = {
            "title": name,
            "point": _first_point(self._readers[name].extent, path) if point is None else point,
            "azimuth": azimuth,
            "elevation": elevation,
            "shared": shared,
            "log_height": log_height,
            "step": max(0, len(path) - 1) if step is None else step,
        }
        state = {key: self._check(key, value) for key, value in state.items()}
        super().__init__(
            **state,
            task=task,
            initial=dict(state),
            losses=as_bytes(np.concatenate([loss.ravel() for loss in losses])),
            paths=as_bytes(np.concatenate([path.ravel() for path in self._paths.values()])),
            surfaces=self._for_browser(),
        )

    @validate("title", "point", "azimuth", "elevation", "log_height", "step")
    def _valid(self, proposal: Any) -> Any:
        return self._check(proposal["trait"].name, proposal["value"])

    def loss_at(self, title: str, point: Any) -> float:
        """Return the loss at a point of a surface, between the grid's points too."""
        return self._readers[title].value(*point)

    def scale(self) -> Scale:
        """Return the scale of colour and height now in force."""
        grids = self._grids.values() if self.shared else [self._grids[self.title]]
        return scale_of(*(grid.loss for grid in grids), log=self.log_height)

    def description(self) -> str:
        """Say the range of the surface, the loss at the point, and where the path is."""
        grid, path = self._grids[self.title], self._paths[self.title]
        j, i = np.unravel_index(grid.loss.argmin(), grid.loss.shape)
        text = (
            f"Loss surface of {self.title}: lowest {grid.loss.min():.3g} at "
            f"({grid.alphas[i]:.3g}, {grid.betas[j]:.3g}), highest {grid.loss.max():.3g}. "
            f"At ({self.point[0]:.3g}, {self.point[1]:.3g}) the loss is "
        )
        text += ", ".join(f"{self.loss_at(t, self.point):.3g} ({t})" for t in self._grids)
        if len(path):
            step = min(self.step, len(path) - 1)
            text += (
                f"; the path is at step {step} of {len(path) - 1}, "
                f"loss {self.loss_at(self.title, path[step]):.3g}"
            )
        return f"{text}."

    def picture(self) -> Figure:
        """Draw the surface in three dimensions and as a map."""
        grid, scale = self._grids[self.title], self.scale()
        a, b = np.meshgrid(grid.alphas, grid.betas)
        fig = Figure(figsize=(9.0, 3.9), layout="constrained")
        solid = fig.add_subplot(1, 2, 1, projection="3d")
        flat = fig.add_subplot(1, 2, 2)
        unit = scale(grid.loss)
        solid.plot_surface(
            a, b, unit, rcount=51, ccount=51, cmap="viridis", vmin=0, vmax=1, linewidth=0
        )
        solid.view_init(elev=self.elevation, azim=-90 - self.azimuth)
        places = np.linspace(0, 1, 4)
        named = "loss (log scale)" if scale.log else "loss"
        labels = [f"{v:.3g}" for v in _inverse(scale, places)]
        solid.set_zticks(places, labels)
        fig.suptitle(self.title)
        solid.set(xlabel="alpha", ylabel="beta", zlim=(0, 1), title=named)
        filled = flat.contourf(a, b, unit, np.linspace(0, 1, 21), cmap="viridis", alpha=0.6)
        fig.colorbar(filled, ax=flat, label=named).set_ticks(places, labels=labels)
        for ax in (solid, flat):
            ax.locator_params(axis="x", nbins=4)
            ax.locator_params(axis="y", nbins=4)
        flat.set(xlabel="alpha", ylabel="beta")
        self._draw_marks(solid, flat, scale)
        return fig

    def _draw_marks(self, solid: Any, flat: Any, scale: Scale) -> None:
        path = self._paths[self.title][: self.step + 1]
        for points, style in (
            (path, {"color": PALETTE["vermilion"], "linewidth": 2}),
            (path[-1:], {"color": PALETTE["vermilion"], "marker": "s"}),
            (np.array([self.point]), {"color": PALETTE["blue"], "marker": "o", "markersize": 8}),
        ):
            loss = np.array([self.loss_at(self.title, point) for point in points])
            solid.plot(*points.T, scale(loss) + 0.02, zorder=5, **style)
            flat.plot(*points.T, **style)
        x0, x1, y0, y1 = self._readers[self.title].extent
        flat.set(xlim=(x0, x1), ylim=(y0, y1))

    def _for_browser(self) -> list[dict[str, Any]]:
        about, offset, start = [], 0, 0
        for title, grid in self._grids.items():
            m, n = grid.loss.shape
            j, i = np.unravel_index(grid.loss.argmin(), grid.loss.shape)
            count = len(self._paths[title])
            about.append(
                {
                    "title": title,
                    "n": n,
                    "m": m,
                    "offset": offset,
                    "extent": self._readers[title].extent,
                    "low": float(grid.loss.min()),
                    "high": float(grid.loss.max()),
                    "lowest": [float(grid.alphas[i]), float(grid.betas[j])],
                    "path": [start, count],
                }
            )
            offset, start = offset + n * m, start + 2 * count
        return about

    def _check(self, name: str, value: Any) -> Any:
        """Return a piece of state in the form the trait holds, or raise ValueError."""
        if name == "title" and value not in self._grids:
            raise ValueError(f"title must be one of {list(self._grids)}; got {value!r}")
        if name == "point":
            point = finite_array("point", value, (2,))
            extents = np.array([reader.extent for reader in self._readers.values()])
            low, high = extents[:, [0, 2]].min(axis=0), extents[:, [1, 3]].max(axis=0)
            if (point < low - 1e-9).any() or (point > high + 1e-9).any():
                raise ValueError(
                    f"point must lie on the surface, alpha {low[0]:.4g} to {high[0]:.4g}, beta "
                    f"{low[1]:.4g} to {high[1]:.4g}; got {tuple(float(v) for v in point)}"
                )
            return [float(v) for v in point]
        if name in ("azimuth", "elevation"):
            angle = float(finite_array(name, [value], (1,))[0])
            if name == "elevation" and not 0 <= angle <= 90:
                raise ValueError(f"elevation must lie in 0 to 90 degrees; got {value!r}")
            return angle
        if name == "log_height" and value and min(g.loss.min() for g in self._grids.values()) <= 0:
            raise ValueError(
                "log_height needs losses above 0; the lowest is "
                f"{min(g.loss.min() for g in self._grids.values()):.4g}. Take log_height=False"
            )
        if name == "step":
            longest = max(1, *(len(path) for path in self._paths.values()), 1)
            if not 0 <= value < longest:
                raise ValueError(f"step must lie in 0 to {longest - 1}; got {value!r}")
        return value


def _checked_surfaces(surfaces: Any) -> dict[str, SurfaceGrid]:
    if not isinstance(surfaces, Mapping) or not surfaces:
        raise ValueError(
            "surfaces must be a dict of title and SurfaceGrid, with one entry at least; got "
            f"{type(surfaces).__name__}. Write LossSurface({{'my network': grid}})"
        )
    for title, grid in surfaces.items():
        if not isinstance(grid, SurfaceGrid):
            raise ValueError(
                f"surfaces[{title!r}] must be a SurfaceGrid; got {type(grid).__name__}. "
                "Make one with course_utils.landscape.loss_surface"
            )
        finite_array(f"surfaces[{title!r}].loss", grid.loss, (None, None))
    number = sum(grid.loss.size for grid in surfaces.values())
    if number > MOST_POINTS:
        raise ValueError(
            f"surfaces hold {number} points; at most {MOST_POINTS} can be shown. "
            "Take a lower resolution: 51 by 51 is enough"
        )
    return dict(surfaces)


def _checked_paths(
    paths: Mapping[str, Any], grids: Mapping[str, SurfaceGrid]
) -> dict[str, np.ndarray]:
    unknown = [title for title in paths if title not in grids]
    if unknown:
        raise ValueError(f"paths must have titles among {list(grids)}; got {unknown}")
    checked = {title: np.empty((0, 2)) for title in grids}
    for title, path in paths.items():
        name = f"paths[{title!r}]"
        checked[title] = check_path(name, finite_array(name, path, (None, 2)), grids[title])
    return checked


def _first_point(extent: tuple[float, ...], path: np.ndarray) -> list[float]:
    x0, x1, y0, y1 = extent
    point = (x0 + 0.3 * (x1 - x0), y0 + 0.7 * (y1 - y0))
    if len(path) and x0 <= path[0, 0] <= x1 and y0 <= path[0, 1] <= y1:
        point = path[0]
    return np.clip(np.round(point, 4), [x0, y0], [x1, y1]).tolist()


def _inverse(scale: Scale, places: np.ndarray) -> np.ndarray:
    if scale.log:
        return scale.low * (scale.high / scale.low) ** places
    return scale.low + (scale.high - scale.low) * places
