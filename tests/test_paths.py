"""Keys of a session: what they mean, and that no text is more than a key."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node_session import paths
from node_session.errors import PathError
from node_session.paths import MAX_DEPTH, MAX_PADDED, MISSING, assign, find, parse, remove

CODE_LIKE = [
    "constructor",
    "__class__",
    "__proto__",
    "toString",
    "a.__class__.__mro__",
    "a.append",
    "a.length",
    "a[0].real",
    "process.exit(1)",
    "a'];evil();['",
    'a"];evil();["',
    "a[process.exit(1)]",
    "{0.__class__}",
    "%s%n",
    "../../etc/passwd",
    "$where",
    "\x00",
    "\ud800",
]

# Texts that are nearly paths, so that hypothesis does not have to find the brackets by chance.
key_like = st.lists(
    st.sampled_from(
        ["a", "b", "0", "1", "01", ".", "[", "]", "[0]", "[2]", '["', '"]', "['", "']", "\\", '"', "'", " "]
    ),
    max_size=8,
).map("".join)
keys = st.text() | key_like | st.sampled_from(CODE_LIKE)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "b", "0", "1"]) | key_like, inner, max_size=3)
    ),
    max_leaves=10,
)
roots = st.dictionaries(st.sampled_from(["a", "b", "0"]) | key_like, json_values, max_size=4)


@pytest.mark.parametrize(
    ("key", "steps"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a[0]", ("a", "0")),
        ("a[0][12].b", ("a", "0", "12", "b")),
        ("a.0", ("a", "0")),
        ('a["b-c"]', ("a", "b-c")),
        ("a['b-c'].d", ("a", "b-c", "d")),
        ('a["b.c[0]"]', ("a", "b.c[0]")),
        ('a[""]', ("a", "")),
        ('["a.b"]', ("a.b",)),
        ("['a.b'].c", ("a.b", "c")),
        (r'a["say \"hi\" \\ it\'s"]', ("a", 'say "hi" \\ it\'s')),
        ("user-name", ("user-name",)),
        ("1", ("1",)),
        ("my key.my other", ("my key", "my other")),
        ("naïve.日本\n.x", ("naïve", "日本\n", "x")),
        ('a["line\nbreak"]', ("a", "line\nbreak")),
    ],
)
def test_a_path_has_steps(key: str, steps: tuple[str, ...]) -> None:
    """Names, indices and quoted names are the steps of a path."""
    assert parse(key) == steps


NO_PATHS = [
    *["", ".", "a.", ".a", "a..b", "a[", "a]", "a[]", "a[b]", "a[-1]", "a[ 0]", "a[0]b", "a[٣]", "[0]", "a.[0]"],
    *['a["b]', "a['b\"]", 'a["\\n"]', 'a["b"c"]', "[", "]", "a b]", "a['];evil();['"],
]


@pytest.mark.parametrize("key", NO_PATHS)
def test_what_is_no_path_is_one_name(key: str) -> None:
    """A text outside the grammar is a literal key, not an error."""
    assert parse(key) == (key,)


@pytest.mark.parametrize("use", [parse, lambda key: find({}, key), lambda key: remove({}, key)])
@pytest.mark.parametrize("key", [1, None, b"a", ["a"], 1.5])
def test_only_strings_are_keys(use: Any, key: Any) -> None:
    """Anything but a string is refused with a message that quotes it, even if it cannot be hashed."""
    with pytest.raises(TypeError) as caught:
        use(key)
    assert str(caught.value) == f"session keys are strings, not {type(key).__name__}: {key!r}"


def test_long_keys_are_not_cached() -> None:
    """A long key is parsed, but leaves nothing behind in memory."""
    key = "long" + "." + "x" * 100_000
    before = paths._parse_cached.cache_info()
    assert parse(key) == ("long", "x" * 100_000)
    assert paths._parse_cached.cache_info() == before
    assert before.maxsize is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("user.name", "Ann"),
        ("cart[1].qty", 2),
        ("cart.1.qty", 2),
        ('prices["eu.de"]', 9),
        ("pair[1]", "right"),
        ("none", None),
        ("user.none", None),
        ("a.b", "literal"),
        ("x[", "odd"),
        ("user.name.first", MISSING),
        ("cart[2]", MISSING),
        ("cart[01]", MISSING),
        ("cart[" + "9" * 5000 + "]", MISSING),
        ("cart.length", MISSING),
        ("user.name[0]", MISSING),
        ("nobody", MISSING),
        ("nobody.there", MISSING),
    ],
)
def test_find(key: str, value: Any) -> None:
    """A path leads through entries and items; where it leads nowhere, the literal key counts."""
    root = {
        "user": {"name": "Ann", "none": None},
        "cart": [{"qty": 1}, {"qty": 2}],
        "prices": {"eu.de": 9},
        "pair": ("left", "right"),
        "none": None,
        "a.b": "literal",
        "x[": "odd",
    }
    assert find(root, key) is value or find(root, key) == value


def test_a_path_goes_before_a_literal_key() -> None:
    """If both are there, find and assign take the path, and remove the literal key."""
    root: dict[str, Any] = {"a.b": 1, "a": {"b": 2}}
    assert find(root, "a.b") == 2
    assign(root, "a.b", 3)
    assert root == {"a.b": 1, "a": {"b": 3}}
    assert remove(root, "a.b") == 1
    assert remove(root, "a.b") == 3
    assert remove(root, "a.b") is MISSING
    assert root == {"a": {}}


def test_assign_takes_the_path_although_the_literal_key_is_there() -> None:
    """As in the original, a key with dots is set as a path and then found as one."""
    root: dict[str, Any] = {"a.b": 1}
    assign(root, "a.b", 2)
    assert root == {"a.b": 1, "a": {"b": 2}}
    assert find(root, "a.b") == 2


@pytest.mark.parametrize(
    ("root", "key", "after"),
    [
        ({}, "a", {"a": "!"}),
        ({}, "a.b.c", {"a": {"b": {"c": "!"}}}),
        ({}, "a[0]", {"a": {"0": "!"}}),
        ({}, 'a["b-c"]', {"a": {"b-c": "!"}}),
        ({"a": "text"}, "a.b", {"a": {"b": "!"}}),
        ({"a": None}, "a.b", {"a": {"b": "!"}}),
        ({"a": 7}, "a[0].c", {"a": {"0": {"c": "!"}}}),
        ({"a": {"b": 1, "x": 2}}, "a.b", {"a": {"b": "!", "x": 2}}),
        ({"a": [1, 2]}, "a[0]", {"a": ["!", 2]}),
        ({"a": [1, 2]}, "a[2]", {"a": [1, 2, "!"]}),
        ({"a": [1]}, "a[3]", {"a": [1, None, None, "!"]}),
        ({"a": [1]}, "a[1].b", {"a": [1, {"b": "!"}]}),
        ({"a": [{"b": 1}]}, "a[0].b", {"a": [{"b": "!"}]}),
        ({"a": ({"b": 1}, 2)}, "a[0].b", {"a": [{"b": "!"}, 2]}),
        ({"a": (1, 2)}, "a[2]", {"a": [1, 2, "!"]}),
    ],
)
def test_assign(root: dict[str, Any], key: str, after: dict[str, Any]) -> None:
    """Parents are made as dicts, lists are replaced in, appended to and filled up."""
    assign(root, key, "!")
    assert root == after


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("list.name", "'name' is no index"),
        ("list[01]", "'01' is no index"),
        ("deep.list.name.first", "'name' is no index"),
        (f"list[{MAX_PADDED}]", "not filled up"),
        (f"list[{'9' * 5000}]", "not filled up"),
        ("list[99999999].a", "not filled up"),
        ("tuple[0].name.first", "'name' is no index"),
        ("a" + ".a" * MAX_DEPTH, "65 steps"),
    ],
)
def test_a_place_that_cannot_be(key: str, says: str) -> None:
    """A path to no place in a list, or of too many steps, is a PathError with a cure, and changes nothing."""
    root: dict[str, Any] = {"list": [1], "deep": {"list": [{}]}, "tuple": ([1], 2)}
    before = copy.deepcopy(root)
    with pytest.raises(PathError) as caught:
        assign(root, key, "!")
    message = str(caught.value)
    assert says in message
    assert "use [" in message or "write it as" in message
    assert len(message) < 500
    assert root == before


def test_the_limits_themselves_are_allowed() -> None:
    """The deepest key and the farthest index that the limits name can be used; a long list grows at its end."""
    root: dict[str, Any] = {"list": [], "long": [0] * (MAX_PADDED + 5)}
    deepest = "a" + ".a" * (MAX_DEPTH - 1)
    assign(root, deepest, "deep")
    assign(root, f"list[{MAX_PADDED - 1}]", "far")
    assign(root, f"long[{MAX_PADDED + 5}]", "last")
    assert find(root, deepest) == "deep"
    assert root["list"] == [None] * (MAX_PADDED - 1) + ["far"]
    assert root["long"][-1] == "last"


@pytest.mark.parametrize(
    ("root", "key", "removed", "after"),
    [
        ({"a": 0}, "a", 0, {}),
        ({"a": None}, "a", None, {}),
        ({"a": {"b": 1, "c": 2}}, "a.b", 1, {"a": {"c": 2}}),
        ({"a": [1, 2, 3]}, "a[1]", 2, {"a": [1, 3]}),
        ({"a": (1, 2, 3)}, "a[1]", 2, {"a": [1, 3]}),
        ({"a": [(1, 2)]}, "a[0][0]", 1, {"a": [[2]]}),
        ({"a": [1]}, "a[1]", MISSING, {"a": [1]}),
        ({"a": [1]}, "a.name", MISSING, {"a": [1]}),
        ({"a": "text"}, "a.b", MISSING, {"a": "text"}),
        ({"": 1}, "", 1, {}),
        ({}, "a.b.c", MISSING, {}),
    ],
)
def test_remove(root: dict[str, Any], key: str, removed: Any, after: dict[str, Any]) -> None:
    """Any value is removed and returned, falsy or not, and nothing else changes."""
    assert remove(root, key) == removed
    assert root == after


def test_found_objects_are_the_stored_ones() -> None:
    """`find` returns the session's own object, so that a change inside it is saved."""
    cart: list[dict[str, int]] = [{"qty": 1}]
    root = {"shop": {"cart": cart}}
    assert find(root, "shop.cart") is cart
    assert find(root, "shop.cart[0]") is cart[0]


@pytest.mark.parametrize("key", CODE_LIKE)
def test_code_is_only_a_key(key: str) -> None:
    """A key that looks like code finds nothing that was not stored, and stores like any other."""
    root: dict[str, Any] = {"a": "text"}
    assert find(root, key) is MISSING
    assert remove(root, key) is MISSING
    assign(root, key, 1)
    assert find(root, key) == 1
    assert remove(root, key) == 1


class Guarded(dict[str, Any]):
    """Fails when anything but a dict's own methods is looked up on it."""

    def __getattribute__(self, name: str) -> Any:
        assert name in ("get", "pop", "__class__"), name
        return super().__getattribute__(name)


@given(keys)
@example("keys")
@example("a.keys")
@example("a.b.items")
def test_attributes_are_never_touched(key: str) -> None:
    """No key leads to a look-up of a stored value's attribute."""
    inner = Guarded(b=Guarded())
    root = Guarded(a=inner)
    assert find(root, key) in (MISSING, inner, inner["b"])
    remove(root, key)
    assign(root, key, 1)
    assert find(root, key) == 1


@given(roots, keys, json_values)
def test_what_is_assigned_is_found(root: dict[str, Any], key: str, value: Any) -> None:
    """Any text is a key: assign then find gives the same object, or assign refuses and nothing has changed."""
    before = copy.deepcopy(root)
    try:
        assign(root, key, value)
    except PathError:
        assert root == before
    else:
        assert find(root, key) is value


@given(roots, keys)
def test_remove_takes_what_is_found(root: dict[str, Any], key: str) -> None:
    """There is something to remove exactly where there is something to find; removing nothing changes nothing."""
    before = copy.deepcopy(root)
    found = find(root, key)
    literal = root.get(key, MISSING)
    removed = remove(root, key)
    assert removed == (found if literal is MISSING else literal)
    assert (root == before) is (removed is MISSING)


def test_keys_of_any_length() -> None:
    """A key of more steps than anything stored is deep is one name: it is not taken apart to its end."""
    assert len(parse("a" + ".a" * 999)) == 1000
    root: dict[str, Any] = {}
    for key in ("a" + ".a" * 1000, "a[0]" * 500_000, 'a["b"]' * 300_000):
        assert parse(key) == (key,)
        assign(root, key, 1)
        assert find(root, key) == remove(root, key) == 1


@given(st.text())
def test_any_name_can_be_quoted(name: str) -> None:
    """A name in quotes, escaped, is that name, whatever is in it."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
    assert parse(f'a["{escaped}"]') == ("a", name)
    assert parse(f"['{escaped}'].b") == (name, "b")
