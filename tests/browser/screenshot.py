"""Write the README's picture of a widget: ``python -m tests.browser.screenshot``."""

from pathlib import Path

from playwright.sync_api import sync_playwright

from course_utils.widgets import OptimizerRace
from tests.browser.harness import launch, mount_widget

TARGET = Path(__file__).parents[2] / "notebooks" / "figures" / "optimizer_race.png"

if __name__ == "__main__":
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 960, "height": 700}, device_scale_factor=1.5)
        mount_widget(page, OptimizerRace())
        TARGET.parent.mkdir(exist_ok=True)
        page.locator("#widget").screenshot(path=TARGET)
        browser.close()
