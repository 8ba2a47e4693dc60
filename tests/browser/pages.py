"""Going from page to page in a browser."""

from __future__ import annotations

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait


def press(browser: Chrome, selector: str) -> None:
    """Press a button that leads to a page, and wait until that one is there: what is asked then is not the old one."""
    page = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.CSS_SELECTOR, selector).click()
    # While one page takes the place of the other, Chromium sometimes says so by errors of other kinds.
    wait = WebDriverWait(browser, 30, ignored_exceptions=[WebDriverException])
    wait.until(staleness_of(page))
    wait.until(lambda browser: browser.execute_script("return document.readyState") == "complete")
