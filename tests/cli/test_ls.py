"""`ls` and `stats`: every session, in a table and as JSON."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from cli.shop import ANN, BOB, old_record
from node_session.cli import ATTENTION


def test_ls(shop):
    """Ls lists the sessions, the one used last first, without a whole id."""
    lines = shop.run("ls", shop.config).splitlines()
    assert lines[0].split() == ["ID", "SIZE", "IDLE"]
    assert [line.split()[0] for line in lines[1:4]] == ["Annaaa…", "Bobbbb…", "Eveeee…"]
    assert lines[3].endswith("2.0 kB  30 min")
    assert lines[4].startswith("3 sessions, 2.1 kB")
    assert ANN not in "".join(lines)


def test_ls_for_a_program(shop):
    """With --json, ls gives sizes in bytes and idle times in milliseconds."""
    ann, bob, eve = shop.json("ls", shop.config)
    assert (ann["id"], eve["size"]) == ("Annaaa…", 2013)
    assert 65_000 <= bob["idleMilliseconds"] < 125_000
    assert "damage" not in ann


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--sort", "size"], "Bob"),
        (["--sort", "size", "--reverse"], "Eve"),
        (["--sort", "id", "--reverse"], "Eve"),
        (["--reverse"], "Eve"),
        (["--user", "user.name=Bob"], "Bob"),
        (["--user", "user.admin=true"], "Bob"),
        (["--user", "user.age=42", "--user", "user.name=Ann"], "Ann"),
    ],
    ids=str,
)
def test_ls_sorts_and_filters(shop, arguments, first):
    """--sort, --reverse and --user choose what comes first; values are compared as text or as JSON."""
    assert shop.json("ls", shop.config, *arguments)[0]["id"].startswith(first)


def test_ls_finds_only_what_holds_the_value(shop):
    """--user leaves out every session without this very value, and --limit is of those that are left."""
    assert shop.json("ls", shop.config, "--user", "user.name=An") == []
    assert len(shop.json("ls", shop.config, "--user", "user.admin=true")) == 1
    assert len(shop.json("ls", shop.config, "--limit", "2")) == 2


def test_whole_ids_if_asked(shop):
    """--whole prints ids and tokens in full, and nothing else does."""
    assert shop.json("ls", shop.config, "--whole")[0]["id"] == ANN
    assert "secret-token" in shop.run("show", shop.config, ANN, "--whole")


def test_damage_does_not_end_a_listing(shop):
    """A damaged record is listed as such, counted, and told of by the exit code."""
    shop.put("D" * 40, '{"cut off')
    (shop.files() / ("F" * 40)).write_bytes(b"\xff\xfe")
    text = shop.run("ls", shop.config, code=ATTENTION)
    assert "damaged: its text is not JSON" in text and "damaged: it is not UTF-8 text" in text
    assert [bool(each.get("damage")) for each in shop.json("ls", shop.config, code=ATTENTION)].count(True) == 2
    assert shop.json("stats", shop.config, code=ATTENTION)["damaged"] == 2
    for start in "DF":
        assert "damage" in shop.json("show", shop.config, start, code=ATTENTION)
    shop.run("destroy", shop.config, "F" * 40)
    assert "F" * 40 not in shop.stored()


def test_a_record_that_cannot_be_read_does_not_end_a_listing(shop, monkeypatch):
    """A record on a broken part of the disk is told of, and the others are listed and copied."""
    open = os.open

    def broken(path, *flags, **options):
        if Path(path).name == BOB:
            raise OSError(errno.EIO, "Input/output error")
        return open(path, *flags, **options)

    monkeypatch.setattr(os, "open", broken)
    lines = shop.json("ls", shop.config, code=ATTENTION)
    assert ["Input/output error" in each.get("damage", "") for each in lines] == [False, True, False]
    assert shop.json("copy", shop.config, shop.write("new.json"), code=ATTENTION)["damaged"] == 1


def test_stats(shop):
    """Stats counts, sums up and draws sessions by size and idle time."""
    text = shop.run("stats", shop.config)
    assert "3 sessions, 2.1 kB" in text
    assert re.search(r"to 1 kB +2  #{40}\n +to 4 kB +1  #{20}\n", text)
    assert re.search(r"to 1 min +1  #+\n +to 5 min +1  #+\n +to 1 h +1  #+\n", text)
    data = shop.json("stats", shop.config)
    assert data["sessions"] == 3 and data["bytes"]["most"] == 2013
    assert data["bytes"]["total"] == sum(map(len, shop.stored().values()))


def test_old_records_are_no_sessions(shop):
    """Neither ls nor stats counts the old record that a regenerated session leaves for the grace."""
    shop.put("X" * 40, old_record())
    assert len(shop.json("ls", shop.config)) == 3
    assert "3 sessions, 2.1 kB" in shop.run("ls", shop.config)
    text = shop.run("stats", shop.config)
    assert "3 sessions, 2.1 kB" in text and "not counted: 1 old record of regenerated sessions" in text
    data = shop.json("stats", shop.config)
    assert (data["sessions"], data["old"], data["bytes"]["most"]) == (3, 1, 2013)


def test_an_empty_store(shop):
    """If there is no session yet, ls and stats say so."""
    config = shop.write("empty.json")
    assert shop.run("ls", config).strip() == shop.run("stats", config).strip() == "0 sessions, 0 B"
    assert shop.json("ls", config) == [] and shop.json("stats", config)["sessions"] == 0
