"""A cursor survives as text, and any other text is refused with one clear error."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spear.errors import Invalid
from spear.protocols.cursor import LONGEST, Cursor, Filter, mark_of

SOME = Cursor(bytes(range(16)), 7, b"12345678", Filter(("node.NodeLost",), "node", "日/x"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CURSORS = st.builds(
    Cursor,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**62),
    st.binary(min_size=8, max_size=8),
    st.builds(Filter, st.lists(TEXTS, max_size=4).map(tuple), TEXTS, TEXTS),
)


@given(CURSORS)
@settings(max_examples=200)
def test_what_is_written_is_read_again(cursor):
    text = str(cursor)
    assert Cursor.parse(text) == cursor
    assert text.isascii() and not set(text) & set("+/=&?% ")


def test_a_cursor_over_everything_is_short():
    assert len(str(Cursor(bytes(16), 2**40, bytes(8)))) == 50


def test_the_longest_filter_that_can_be_asked_for_still_fits():
    assert (
        len(str(Cursor(bytes(16), 1, bytes(8), Filter(("x" * 40,) * 32, "execution", "\U0001f600" * 1024)))) < LONGEST
    )


def test_every_flipped_character_is_noticed():
    text = str(SOME)
    for place, other in product(range(len(text)), "AZaz09-_"):
        if text[place] != other:
            with pytest.raises(Invalid):
                Cursor.parse(text[:place] + other + text[place + 1 :])


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_-]{1,120}", fullmatch=True)))
@settings(max_examples=300)
def test_foreign_text_is_refused(text):
    with pytest.raises(Invalid, match="expected a cursor as this server gives it out"):
        Cursor.parse(text)


@pytest.mark.parametrize(
    "text", ["", "7", str(SOME)[:-1], str(SOME) + "A", str(SOME) + "\n", str(SOME) + "=", "A" * (LONGEST + 1), "日本"]
)
def test_the_error_names_the_field_and_what_was_expected(text):
    with pytest.raises(Invalid) as refused:
        Cursor.parse(text)
    assert refused.value.details["field"] == "cursor"
    assert refused.value.message.startswith("cursor: got ") and len(refused.value.message) < 250


def test_a_cursor_moves_along_its_feed():
    assert SOME.at(9, b"abcdefgh-and-more") == Cursor(SOME.log, 9, mark_of(b"abcdefgh-and-more"), SOME.filter)
