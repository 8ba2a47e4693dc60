"""Real Chromium, and the samples it visits.

Where there is no Chromium the tests are skipped; in CI (``CI=true``) they fail. Debian: ``apt-get install chromium
chromium-driver``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from selenium import webdriver

FLAGS = [
    "--headless",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1320,1400",
    "--host-resolver-rules=MAP *.example.test 127.0.0.1",
]


@pytest.fixture(scope="session")
def start_chromium():
    """Starts a browser on a profile folder."""
    missing = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
    if missing:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"not installed: {', '.join(missing)}; on Debian: apt-get install chromium chromium-driver")
    started = []

    def start(profile: Path) -> webdriver.Chrome:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        options.accept_insecure_certs = True  # the tests' own certificates
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture(scope="session")
def chromium(start_chromium, tmp_path_factory):
    """The browser that the tests share; starting one takes longer than a test."""
    return start_chromium(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def browser(chromium):
    """The shared browser, with one empty tab and without a cookie."""
    first, *others = chromium.window_handles
    for tab in others:
        chromium.switch_to.window(tab)
        chromium.close()
    chromium.switch_to.window(first)
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return chromium
