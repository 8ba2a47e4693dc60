"""The folder of the file driver: other users, and what they have put into it."""

from __future__ import annotations

import asyncio
import os

import pytest

from node_session import UnavailableError
from node_session.drivers import FileDriver

ID = "A" * 40
OTHER = "B" * 40


def run(coroutine):
    return asyncio.run(coroutine)


OPERATIONS = {
    "read": lambda driver: driver.read(ID),
    "create": lambda driver: driver.write(OTHER, "mine", None),
    "replace": lambda driver: driver.write(ID, "mine", "planted"),
    "touch": lambda driver: driver.touch(ID),
    "destroy": lambda driver: driver.destroy(ID),
    "set aside": lambda driver: driver.set_aside(ID, "planted"),
    "gc": lambda driver: driver.gc(1),
    "scan": lambda driver: listed(driver),
}


async def listed(driver):
    return [entry async for entry in driver.scan()]


@pytest.fixture(params=[False, True], ids=["", "durable"])
def foreign(folder, monkeypatch, request):
    """A driver on a folder that another user has made, with a record in it."""
    folder.mkdir(mode=0o700)
    (folder / ID).write_text("planted")
    os.utime(folder / ID, (1, 1))
    if os.geteuid() == 0:
        os.chown(folder, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    return FileDriver(folder, 0, durable=request.param)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_folder_of_another_user(foreign, folder, operation):
    """What another user has prepared is neither read nor written, and the error says whose it is and what to do."""
    with pytest.raises(UnavailableError, match=r"belongs to another user .* chown it"):
        run(OPERATIONS[operation](foreign))
    assert {each.name for each in folder.iterdir()} == {ID}
    assert (folder / ID).read_text() == "planted" and (folder / ID).stat().st_mtime == 1


def test_folder_of_another_user_for_who_looks_after_it(foreign, folder):
    """With any_owner, as for root at the command line, it is a folder like any other; its owner can use each file."""
    foreign.any_owner = True
    for operation in OPERATIONS.values():
        run(operation(foreign))
    run(foreign.write("b" * 40, "new", None))
    run(foreign.gc(0))
    made = [each for each in folder.iterdir() if each.name != ID]
    assert made and {each.stat().st_uid for each in made} == {folder.stat().st_uid}


@pytest.mark.parametrize("mode", [0o1777, 0o770])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_folder_that_others_can_write(driver, folder, operation, mode):
    """Nor is a folder used into which others can put files, and which was opened to them only now."""
    run(driver.write(ID, "planted", None))
    driver.any_owner = True
    folder.chmod(mode)
    with pytest.raises(UnavailableError, match=r"others can write into this folder.* chmod go-w"):
        run(OPERATIONS[operation](driver))
    folder.chmod(0o755)
    run(OPERATIONS[operation](driver))


def test_folder_that_another_user_makes_meanwhile(driver, folder, monkeypatch):
    """If somebody else makes the folder at the moment of the very first write, it is refused as well."""
    makedirs = os.makedirs

    def beaten(*args, **options):
        makedirs(*args, **options)
        folder.chmod(0o777)

    monkeypatch.setattr(os, "makedirs", beaten)
    with pytest.raises(UnavailableError, match="others can write"):
        run(driver.write(ID, "mine", None))
    assert not list(folder.iterdir())
