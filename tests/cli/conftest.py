"""The shop whose sessions the commands work on."""

from __future__ import annotations

import json

import pytest

from cli.shop import ANN, BOB, EVE, Shop


@pytest.fixture
def shop(tmp_path, capsys):
    """Three sessions, of which Eve's was not used for half an hour."""
    shop = Shop(tmp_path, capsys)
    shop.put(ANN, '{"_token":"secret-token","user":{"name":"Ann","age":42}}', idle=5)
    shop.put(BOB, '{"user":{"name":"Bob","admin":true}}', idle=65)
    shop.put(EVE, json.dumps({"notes": "x" * 2000}), idle=1805)
    return shop
