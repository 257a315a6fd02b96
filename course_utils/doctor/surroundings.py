"""Checks of what surrounds a notebook: fonts, disk, data, browser, sandbox."""

import os
import platform
import shutil
from pathlib import Path

from course_utils.doctor.finding import Finding

__all__ = [
    "check_browser",
    "check_cache",
    "check_disk",
    "check_files",
    "check_fonts",
    "check_sandbox",
]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FONT_REMEDIES = {
    "Linux": "install the package fonts-noto-cjk (Fedora: google-noto-sans-cjk-fonts)",
    "Darwin": "PingFang and Hiragino belong to macOS: check them in Font Book",
    "Windows": "add Chinese (Simplified) under Settings, Optional features",
}
COMFORTABLE_BYTES = 2 * 10**9
NEEDED_BYTES = 2 * 10**8


def check_fonts() -> Finding:
    from matplotlib import font_manager, get_cachedir

    from course_utils.figures import CJK_FONTS

    known = {font.name for font in font_manager.fontManager.ttflist}
    for font in CJK_FONTS:
        if font in known:
            return Finding("Chinese font", "ok", font)
    remedy = FONT_REMEDIES.get(platform.system(), FONT_REMEDIES["Linux"])
    return Finding(
        "Chinese font",
        "warning",
        "matplotlib knows no font with Chinese characters; figures show boxes in their place",
        f"{remedy}; then delete {get_cachedir()}, so that matplotlib looks again",
    )


def check_disk() -> Finding:
    from course_utils.data.cache import cache_directory

    folder = cache_directory().absolute()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB free at {folder}"
    remedy = "make room, or set COURSE_DATA to a folder on another disk"
    if free < NEEDED_BYTES:
        return Finding("disk", "problem", f"{message}: not enough for the data sets", remedy)
    if free < COMFORTABLE_BYTES:
        return Finding("disk", "warning", f"{message}: that is little", remedy)
    return Finding("disk", "ok", message)


def check_cache() -> Finding:
    from course_utils.data.cache import cache_directory, is_writable

    folder = cache_directory()
    if is_writable(folder):
        return Finding("data cache", "ok", f"{folder} can be written")
    return Finding(
        "data cache",
        "problem",
        f"{folder} cannot be written: data would be fetched anew in every session",
        "set the environment variable COURSE_DATA to a folder that you may write to",
    )


def check_files() -> Finding:
    from course_utils.data.cache import look_up
    from course_utils.data.images import RECIPES

    damaged, missing, intact = [], [], 0
    for recipe in RECIPES.values():
        for file in recipe.files:
            content, problem = look_up(file)
            intact += content is not None
            if problem:
                damaged.append(problem)
            elif content is None:
                missing.append(recipe.name)
    if damaged:
        remedy = "run `course data`, which fetches them again"
        return Finding("data files", "problem", "; ".join(damaged), remedy)
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        remedy = "run `course data` once while there is a network"
        return Finding("data files", "warning", f"not fetched yet: {names}", remedy)
    return Finding("data files", "ok", f"{intact} files, each as its sha256 says")


def check_browser() -> Finding:
    named = os.environ.get("CHROMIUM")
    candidates = [named, *BROWSERS] if named else BROWSERS
    found = next(filter(None, map(shutil.which, candidates)), None) or _playwright_browser()
    if found:
        return Finding("browser for tests", "ok", str(found))
    return Finding(
        "browser for tests",
        "warning",
        "no Chromium: the browser tests cannot run (notebooks and widgets need none of this)",
        "run `python -m playwright install chromium`, or install Chromium",
    )


def check_sandbox() -> Finding:
    from course_utils.grading.sandbox import SandboxUnavailable, find_sandbox

    name = "sandbox for grading"
    try:
        find_sandbox()
    except SandboxUnavailable as error:
        remedy = "install the package bubblewrap, and allow user namespaces"
        if platform.system() != "Linux":
            remedy = "grade on Linux: bubblewrap exists only there"
        why = f"{error.why}; only instructors who grade submissions need it"
        return Finding(name, "warning", why, remedy)
    return Finding(name, "ok", f"bubblewrap works ({shutil.which('bwrap')})")


def _playwright_browser() -> Path | None:
    """Return the folder of a Chromium that Playwright has installed for itself."""
    home = {
        "Darwin": Path.home() / "Library" / "Caches",
        "Windows": Path(os.environ.get("LOCALAPPDATA") or Path.home()),
    }.get(platform.system(), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"))
    chosen = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    folder = Path(chosen) if chosen and chosen != "0" else home / "ms-playwright"
    return next(iter(sorted(folder.glob("chromium*"))), None)
