"""Random calls on a session, of the kind that ours promises to answer as the original does (the *keep* of its API)."""

from __future__ import annotations

from hypothesis import strategies as st

# Not among them, as these are answered otherwise on purpose:
# - keys that are no JavaScript names or paths (the original throws, or finds inherited names such as "constructor");
# - pull and forget of dotted keys, of 0, "" and false (the original knows no dots there, and keeps what is falsy);
# - flash of dotted keys (they never expire in the original);
# - set below a value that is no object (ignored, or replaced three levels deep, or thrown);
# - object keys that look like numbers (JavaScript puts them first).
NAMES = st.sampled_from(["a", "b", "user", "cart", "ünï", "$x_1"])

# A path can always be set: it begins with TOP and goes on by NAMES, and below TOP these hold nothing but objects. Other
# values are there too, under LEAVES; a path may end with a leaf, and never goes on below one.
TOP = st.sampled_from(["objects", "more"])
LEAVES = st.sampled_from(["leaf", "läst"])
TO_OBJECTS = st.builds(lambda top, steps: ".".join([top, *steps]), TOP, st.lists(NAMES, min_size=1, max_size=3))
TO_LEAVES = st.builds("{}.{}".format, TOP | TO_OBJECTS, LEAVES)
PATHS = TO_OBJECTS | TO_LEAVES

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["", 0, -0.0, 1.0, 1e21, 1e-7, 1e16, "\u2028", "</script>", "😀", 'a"b\\c', "x" * 300])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.recursive(
    st.dictionaries(LEAVES, VALUES),
    lambda inner: st.builds(lambda objects, leaves: objects | leaves, st.dictionaries(NAMES, inner, max_size=4), inner),
    max_leaves=8,
)
TRUTHY = VALUES.filter(lambda value: value not in (None, False, 0, "", 0.0))
FLASHED = st.sampled_from(["status", "errors", "notice"])

READS = st.one_of(
    st.tuples(st.just("get"), NAMES | PATHS),
    st.tuples(st.just("get"), NAMES | PATHS, SCALARS),
    st.tuples(st.just("has"), NAMES | PATHS | FLASHED),
    st.tuples(st.just("get"), FLASHED | st.just("_old_input")),
    st.just(("all",)),
    st.just(("getToken",)),
    st.just(("getName",)),
)
CHANGES = st.one_of(
    st.tuples(st.just("put"), NAMES, VALUES),
    st.tuples(st.just("set"), NAMES, VALUES),
    st.tuples(st.just("put"), st.dictionaries(NAMES, VALUES, max_size=3)),
    st.tuples(st.just("push"), st.sampled_from(["list", "list2"]), VALUES),
    st.tuples(st.just("pull"), st.sampled_from(["truthy", "nothing"])),
    st.tuples(st.just("pull"), st.sampled_from(["truthy", "nothing"]), SCALARS),
    st.tuples(st.just("put"), st.just("truthy"), TRUTHY),
    st.tuples(st.just("forget"), NAMES | st.just("nothing")),
    st.tuples(st.just("flash"), FLASHED, VALUES),
    st.tuples(st.just("flashInput"), VALUES),
    st.just(("reflash",)),
    st.tuples(st.just("keep"), FLASHED),
    st.tuples(st.just("keep"), FLASHED, FLASHED),
    st.tuples(st.just("keep"), st.lists(FLASHED, max_size=2)),
    st.just(("regenerateToken",)),
    st.just(("flush",)),
    st.tuples(st.sampled_from(["regenerate", "migrate"])),
    st.tuples(st.sampled_from(["regenerate", "migrate"]), st.booleans()),
)
BELOW = st.one_of(
    st.tuples(st.sampled_from(["put", "set"]), TO_OBJECTS, OBJECTS),
    st.tuples(st.sampled_from(["put", "set"]), TO_LEAVES, VALUES),
)
REQUESTS = st.lists(READS | CHANGES | BELOW, max_size=6).map(lambda calls: [list(call) for call in calls])
SEQUENCES = st.lists(REQUESTS, min_size=1, max_size=6)
