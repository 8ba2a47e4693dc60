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


class Visitor:
    """Somebody who uses the pages of a sample of two programs, by their buttons."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        self.url = url

    def open(self, path: str, by: str) -> None:
        """Visit a page, which this program is to serve."""
        self.browser.get(self.url + path)
        assert self.text("#by") == by

    def text(self, selector: str) -> str | None:
        """The text of an element; None if there is none."""
        found = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return found[0].text if found else None

    def press(self, selector: str) -> None:
        """Press a button, and wait for its page: two concurrent requests are too much for Node."""
        press(self.browser, selector)

    def cookie(self, name: str) -> str:
        return self.browser.get_cookie(name)["value"]
