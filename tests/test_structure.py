"""The structure of the package: which room may know which, no circle of imports, nothing too long for one screen.

Type-only imports count, and so do imports inside functions: a reader has to follow them too.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

import node_session

ROOT = Path(node_session.__file__).parent

# A room: its modules (a name with a dot at its end: everything below it), and the rooms that it may know.
BASICS = ["basics"]
ROOMS = {
    "basics": ("errors ids paths quoting keytree hints callbacks immediate once aes cookies origin proxy", []),
    "text": (
        "serializer javascript json_writer prototype depth "
        "encryption authenticated_encryption legacy_encryption encrypted_text",
        BASICS,
    ),
    "events": ("events report", [*BASICS, "text"]),
    "content": (
        "changes attributes tracking content flash csrf_token late owners ownership",
        [*BASICS, "events", "formats"],
    ),
    "merge": ("forms equality merge merge_flash merge_sums aside", [*BASICS, "text", "content"]),
    "drivers": ("drivers drivers.", BASICS),
    "formats": ("formats formats.", [*BASICS, "text"]),
    "config": ("config checks doubts", [*BASICS, "drivers", "formats"]),
    "core": (
        "policy lifetimes own_lifetime loaded records farewell reserved graces orphans state activity work loading "
        "passive queues writing saving moving session transaction retry roster rosters device device_sessions devices "
        "enlisting",
        [*BASICS, "text", "events", "formats", "content", "merge", "drivers"],
    ),
    "web": (
        "background sweeping cookie_choices open_sockets transport caches navigation headers handshake upload refusals "
        "csrf_check response starting accounts manager web",
        [*BASICS, "text", "events", "formats", "content", "merge", "drivers", "config", "core"],
    ),
    "tools": (
        "debug outlook testing testing. cli cli.",
        [*BASICS, "text", "events", "formats", "content", "merge", "drivers", "config", "core", "web"],
    ),
    "front": (
        "node_session __main__",
        ["events", "text", "formats", "drivers", "config", "core", "web", "tools", *BASICS],
    ),
}
TORNADO = ["web", "debug", "testing.browser", "testing.visitor", "testing.plugin"]  # the core runs without a web server
MOST_LINES = {"file": 250, "class": 200, "function": 40}


def read_modules() -> dict[str, tuple[Path, ast.Module]]:
    """Every module of the package by its name without the package's own: ``drivers.file``."""
    modules = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").removesuffix(".") or "node_session"
        modules[name] = (path, ast.parse(path.read_text("utf-8")))
    return modules


MODULES = read_modules()


def imports_of(name: str) -> set[str]:
    """The modules that one imports: those of the package by their names here, others with a dot before them.

    A name taken from a package's ``__init__`` is an import of that package.
    """
    path, tree = MODULES[name]
    absolute = ["node_session", *(name.split(".") if name != "node_session" else [])]
    package = absolute if path.name == "__init__.py" else absolute[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {our_name(each.name) for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for each in node.names:
                submodule = our_name(f"{source}.{each.name}")
                found.add(submodule if submodule in MODULES else our_name(source))
    return found - {name}


def our_name(absolute: str) -> str:
    """``node_session.drivers.file`` → ``drivers.file``; ``tornado.web`` → ``.tornado.web``."""
    if absolute == "node_session":
        return absolute
    return absolute.removeprefix("node_session.") if absolute.startswith("node_session.") else f".{absolute}"


IMPORTS = {name: imports_of(name) for name in MODULES}


def room_of(module: str) -> str | None:
    """The room of a module; None if no room has it."""
    for room, (names, _) in ROOMS.items():
        if any(module == each or (each.endswith(".") and module.startswith(each)) for each in names.split()):
            return room
    return None


def lines(found: list[str]) -> str:
    """The whole list as lines: pytest would cut it."""
    return "\n" + "\n".join(found)


def test_each_module_has_a_room():
    """A new module is given a room in the table above, with the rooms that it may know."""
    assert not (homeless := [module for module in MODULES if room_of(module) is None]), lines(homeless)


def test_rooms_know_each_other_one_way():
    """No module imports one of a room that its own room may not know."""
    strangers = [
        f"{module} ({room_of(module)}) imports {each} ({room_of(each)})"
        for module, imports in IMPORTS.items()
        for each in sorted(imports & MODULES.keys())
        if room_of(module) is not None and room_of(each) not in (room_of(module), None)
        if room_of(each) not in ROOMS[str(room_of(module))][1]
    ]
    assert not strangers, lines(strangers)


def test_no_circle_of_imports():
    """No module imports itself by way of others, also not for its types alone."""
    graph = {module: imports & MODULES.keys() for module, imports in IMPORTS.items()}
    circles = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]  # each is imported by the next one
            circles.append(" → ".join(reversed(circle)))
            graph[circle[1]] -= {circle[0]}
        else:
            break
    assert not circles, lines(circles)


def test_tornado_is_known_to_the_web_only():
    """The core, the drivers and the command line run without a web server."""
    users = [name for name, imports in IMPORTS.items() if any(each.startswith(".tornado") for each in imports)]
    assert not (others := [name for name in users if not {name, room_of(name)} & {*TORNADO}]), lines(others)


@pytest.mark.parametrize("kind", MOST_LINES)
def test_nothing_is_too_long(kind):
    """A file, a class and a function have so many lines at most, from their first to their last."""
    nodes = {"class": ast.ClassDef, "function": (ast.FunctionDef, ast.AsyncFunctionDef)}
    lengths = {}
    for name, (path, tree) in MODULES.items():
        if kind == "file":
            lengths[name] = len(path.read_text("utf-8").splitlines())
            continue
        for node in ast.walk(tree):
            if isinstance(node, nodes[kind]):
                lengths[f"{name}:{node.lineno} {node.name}"] = node.end_lineno - node.lineno + 1
    too_long = [f"{name}: {length}" for name, length in lengths.items() if length > MOST_LINES[kind]]
    assert not too_long, lines(too_long)
