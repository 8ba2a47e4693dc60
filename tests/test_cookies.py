"""The cookie: a sent id is found again, and nothing else is."""

from __future__ import annotations

from urllib.parse import quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from node_session import cookies
from node_session.cookies import SetCookie, find, is_attribute_value, is_token, sign

ID = "A" * 40
VALUE = "s%3A" + ID + ".cEq9DgTL925s5q0CdA1OJdvwWKPai54fhMMd9ZLDDHA"
SECRETS = st.text(min_size=1, max_size=40)
IDS = st.text("abcABC012_-", min_size=40, max_size=40)


def test_signature_of_the_original():
    """The value is the original's, for the secret and id that its behaviour was recorded with."""
    assert sign(ID, "x") == VALUE


@given(IDS, SECRETS)
def test_round_trip(id, secret):
    """find() finds the cookie that sign() made, and says that it can be sent again unchanged."""
    value = sign(id, secret)
    assert find(f"a=1; name={value}; b=2", "name", [secret]) == (id, value, False, ())


@given(IDS, SECRETS, st.data())
def test_one_changed_character(id, secret, data):
    """A value with one character changed is not found."""
    value = sign(id, secret)
    place = data.draw(st.integers(4, len(value) - 1))
    other = data.draw(st.sampled_from([c for c in "aZ09-_.+%" if c != value[place]]))
    changed = value[:place] + other + value[place + 1 :]
    assert find(f"name={changed}", "name", [secret]).id in (None, id) and find(
        f"name={changed}", "name", [secret]
    ).value in (None, changed)
    if place < 44:
        assert find(f"name={changed}", "name", [secret]).id is None


def test_every_flipped_bit():
    """A value with any one bit flipped is refused, unless it is another spelling of the same."""
    for place in range(len(VALUE)):
        for bit in range(8):
            changed = VALUE[:place] + chr(ord(VALUE[place]) ^ 1 << bit) + VALUE[place + 1 :]
            found = find("name=" + changed, "name", ["x"])
            assert found.id is None or (unquote(changed) == unquote(VALUE) and found == (ID, None, False, ()))


@given(st.text())
def test_any_header(header):
    """No header raises, and none without a signature gives an id."""
    for each in (header, "name=" + header, "name=s:" + header, f"name=s%3A{quote(header)}"):
        assert find(each, "name", ["secret"]).id is None


@given(st.text(max_size=43))
def test_any_signature(signature):
    """Whatever stands where the signature should, text that is not ASCII too, is refused and does not raise."""
    for each in (signature, signature.ljust(43, "é")):
        assert find(f"name=s:{ID}.{each}", "name", ["secret"]).id is None


def test_spellings_of_a_value():
    """The original reads a value that is quoted or not percent-encoded; so is ours, but it is sent as it should be."""
    for value in (
        VALUE.replace("%3A", ":"),
        f'"{VALUE}"',
        VALUE.replace("%3A", "%3a"),
        " " + VALUE.replace("%3A", ":"),
    ):
        assert find(f"name={value}", "name", ["x"]) == (ID, None, False, ())


def test_other_names():
    """Only the cookie of the whole name counts."""
    assert find(f"myname={VALUE}; name2={VALUE}; name", "name", ["x"]).id is None


def test_first_that_verifies():
    """Of several cookies of the name the first that verifies is taken, and the forged one before it is reported."""
    forged = VALUE[:-1] + "B"
    assert find(f"name={forged}; name={VALUE}", "name", ["x"]) == (ID, VALUE, True, ())
    assert find(f"name={VALUE}; name={forged}", "name", ["x"]) == (ID, VALUE, False, ())
    assert find(f"name={forged}", "name", ["x"]) == (None, None, True, ())
    assert find(None, "name", ["x"]) == (None, None, False, ())


def test_others_that_verify():
    """Further cookies whose signature holds are told in their order, each session once, however many there are."""
    values = [sign(letter * 40, "x") for letter in "ABCDEF"]
    found = find("; ".join(f"name={value}" for value in [values[0], values[1], values[0], values[1]]), "name", ["x"])
    assert found == ("A" * 40, values[0], False, ("B" * 40,))
    found = find("; ".join(f"name={value}" for value in values), "name", ["x"])
    assert found.others == tuple(letter * 40 for letter in "BCDEF")
    many = [f"{number:040}" for number in range(700)]  # as many as there are in the longest header that Tornado takes
    found = find(";".join(f"n={sign(id, 'x')}" for id in many * 2), "n", ["x"])
    assert (found.id, found.others) == (many[0], tuple(many[1:]))
    forged = values[1][:-1] + ("A" if values[1][-1] != "A" else "B")
    assert find(f"name={values[0]}; name={forged}", "name", ["x"]).others == ()


def test_each_value_is_verified_once(monkeypatch):
    """A value that a browser sends again is not signed again, whichever secret holds and even if it is forged."""
    signed = []
    monkeypatch.setattr(cookies, "_signature", lambda *args: signed.append(args) or "A" * 43)
    cookies._verify_short.cache_clear()
    for _ in range(3):
        assert find(f"name=s%3A{ID}.{'A' * 43}", "name", ["x"]).id == ID
        assert find(f"name=s%3A{ID}.{'B' * 43}", "name", ["x", "y"]) == (None, None, True, ())
    assert len(signed) == 3
    long = f"s%3A{'%41' * 40}.{'%41' * 43}"
    for _ in range(3):
        assert find(f"name={long}", "name", ["x"]) == (ID, None, False, ())  # not cached: its length has no limit
    assert len(signed) == 6
    cookies._verify_short.cache_clear()


def test_header_is_searched_once():
    """Many planted cookies cost their number, not its square: no search through the whole header for each of them."""
    searches = []

    class Header(str):
        def count(self, *args):
            searches.append(args)
            return super().count(*args)

    assert find(Header(";".join(f"n={sign(f'{number:040}', 'x')}" for number in range(100))), "n", ["x"]).others
    assert len(searches) == 1


# All that Python strips, and what RFC 6265 lets nobody put around a name; as Tornado gives it (a character a byte), and
# as a program that makes its requests itself may.
WHITE_SPACE = [chr(code) for code in range(0x3001) if chr(code).isspace() and chr(code) not in " \t"]
NO_BLANKS = st.one_of(
    st.sampled_from(WHITE_SPACE),
    st.characters(max_codepoint=0xFF, exclude_characters=" \t;=").filter(lambda c: not is_token(c)),
)
BLANKS = st.text(" \t", max_size=3)


@given(st.lists(NO_BLANKS, min_size=1, max_size=3).map("".join), BLANKS, BLANKS, st.sampled_from(["__Host-n", "name"]))
def test_names_with_something_around_them(strange, before, after, name):
    """Only space and tab around a name are no part of it: anything else makes it another name, at either end."""
    for spelt in (before + strange + after + name, name + before + strange + after, strange + name + strange):
        assert find(f"a=1;{spelt}={VALUE}; b=2", name, ["x"]) == (None, None, False, ())
        assert find(f"{spelt}={VALUE}; {name}={VALUE}", name, ["x"]) == (ID, VALUE, False, ())
    assert find(f"a=1;{before}{name}{after}={VALUE}", name, ["x"]).id == ID


@given(st.lists(NO_BLANKS, min_size=1, max_size=3).map("".join), BLANKS, BLANKS)
def test_values_with_something_around_them(strange, before, after):
    """Only space and tab around a value are no part of it, be it quoted, percent-encoded or plain."""
    for value in (VALUE, unquote(VALUE), quote(VALUE, safe="%")):
        for spelt in (strange + value, value + strange, f'"{strange}{value}"', f'"{value}{strange}"'):
            assert find(f"name={before}{spelt}{after}", "name", ["x"]).id is None
        for spelt in (
            quote(strange) + value,
            value + quote(strange),
            quote(strange, encoding="latin1", errors="replace") + value,
        ):
            assert find(f"name={before}{spelt}{after}", "name", ["x"]).id is None
        assert find(f"name={before}{value}{after}", "name", ["x"]).id == ID


def test_names_in_other_cases():
    """A name in another case, percent-encoded or quoted is another one; so is one that is another cookie's value."""
    for spelt in (
        "__host-n",
        "__HOST-n",
        "__Host-N",
        "__Host%2Dn",
        '"__Host-n"',
        "=__Host-n",
        "x=__Host-n",
        "x,__Host-n",
    ):
        assert find(f"{spelt}={VALUE}", "__Host-n", ["x"]).id is None


@given(IDS, SECRETS)
def test_bound_to_the_name(id, secret):
    """A signature that covers the name is found under that name only, and by nobody who looks for one that does not."""
    value = sign(id, secret, "name")
    assert find(f"name={value}", "name", [secret], "name") == (id, value, False, ())
    assert find(f"name={value}", "name", ["new", secret], "name") == (id, None, False, ())
    for header, name, bound_to in (
        (f"other={value}", "other", "other"),
        (f"name={value}", "name", ""),
        (f"name={sign(id, secret)}", "name", "name"),
        (f"name={sign(id, secret, 'other')}", "name", "name"),
        (f"name={value}x", "name", "name"),
    ):
        assert find(header, name, [secret], bound_to).id is None


def test_old_secret():
    """A signature under an older secret holds, but the value is not to be sent again."""
    assert find(f"name={VALUE}", "name", ["new", "x"]) == (ID, None, False, ())
    assert find(f"name={VALUE}", "name", ["new"]).id is None


def test_set_cookie_line():
    """The attributes come in the original's order, those it does not know behind them."""
    line = SetCookie(
        "name",
        lifetime=300_000,
        path="/app",
        domain="example.org",
        secure=True,
        same_site="lax",
        partitioned=True,
        clock=lambda: 1_700_000_000.9,
    ).line
    assert line("v") == (
        "name=v; Max-Age=300; Domain=example.org; Path=/app; Expires=Tue, 14 Nov 2023 22:18:20 GMT; "
        "HttpOnly; Secure; SameSite=Lax; Partitioned"
    )


def test_set_cookie_renews_expires():
    """Expires follows the clock; Max-Age is a whole number of seconds."""
    now = [0.0]
    cookie = SetCookie("n", lifetime=1500, http_only=False, clock=lambda: now[0])
    assert cookie.line("v") == "n=v; Max-Age=2; Path=/; Expires=Thu, 01 Jan 1970 00:00:01 GMT"
    now[0] = 60.0
    assert cookie.line("v") == "n=v; Max-Age=2; Path=/; Expires=Thu, 01 Jan 1970 00:01:01 GMT"
    assert SetCookie("n", http_only=False).line("v") == "n=v; Path=/"


def test_names_and_values_that_would_break_out():
    """Neither a name nor an attribute can bring in another attribute or header."""
    assert is_token("__Host-session")
    assert not any(map(is_token, ["", "a b", "a=b", "a;b", "é", "a\n"]))
    assert is_attribute_value("/app path")
    assert not any(map(is_attribute_value, ["", "/;x", "/\n", "/\r\nX: y", "/é", "/\x7f"]))
