"""A cookie with a wrong signature: one warning names the likely cause."""

from __future__ import annotations

import logging

import pytest
from stores import STORES
from visitors import SECRET

from node_session import cookies


@pytest.fixture(params=STORES, ids=["memory", "file", "sqlite"])
def options(request):
    return request.param


WRONG = f"node_session={cookies.sign('B' * 40, 'another secret')}"


def forged(caplog):
    return [
        (record.levelno, record.getMessage()) for record in caplog.records if "wrong signature" in record.getMessage()
    ]


@pytest.mark.gen_test
async def test_a_wrong_secret_is_a_warning_once(visit, caplog):
    """The first cookie under another secret is a warning that names the likely cause; the next ones are INFO."""
    with caplog.at_level(logging.INFO, "node_session"):
        for _ in range(3):
            await visit(headers={"Cookie": WRONG})
    levels = [level for level, _ in forged(caplog)]
    assert levels == [logging.WARNING, logging.INFO, logging.INFO]
    assert "the secret has changed" in forged(caplog)[0][1]
    assert SECRET not in caplog.text and "B" * 40 not in caplog.text


@pytest.mark.gen_test
async def test_what_is_no_wrong_secret(visit, visitor, caplog):
    """A cookie that is not signed at all, or stands beside a good one, is no such warning, and uses none up."""
    await visit()
    good = f"node_session={visitor.cookie}"
    with caplog.at_level(logging.INFO, "node_session"):
        await visit(headers={"Cookie": "node_session=abc"})
        await visit(headers={"Cookie": f"{WRONG}; {good}"})
        await visit(headers={"Cookie": WRONG})
    assert [level for level, _ in forged(caplog)] == [logging.INFO, logging.WARNING]
