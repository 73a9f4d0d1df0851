"""Frames of user streams: what is written is read again, byte for byte as others write it, and nothing else is a frame."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spear.errors import Malformed
from spear.protocols import ssf

IDS = st.integers(0, ssf.LONGEST_ID)
GIVEN = "53505354 0100 2000 0200 0000 07000000 0100000000000000 02000000 03000000 7b7d 616263"


def test_a_frame_has_the_bytes_that_the_wire_wants():
    assert ssf.make(ssf.Kind.DATA, 7, meta=b"{}", data=b"abc") == bytes.fromhex(GIVEN)


@given(st.integers(0, 65535), IDS, IDS, st.binary(max_size=40), st.binary(max_size=40))
@settings(max_examples=100)
def test_a_frame_is_read_again_and_changes_nothing_but_its_stream(kind, stream_id, other, meta, data):
    frame = ssf.make(kind, stream_id, meta=meta, data=data)
    assert (ssf.read(frame), ssf.data_of(frame)) == (ssf.Head(kind, stream_id), data)
    assert ssf.on_stream(frame, other) == ssf.make(kind, other, meta=meta, data=data)


def test_a_longer_head_of_a_later_writer_is_carried():
    frame = bytearray(ssf.make(2, 1, data=b"abc"))
    frame[6:8] = (40).to_bytes(2, "little")
    longer = bytes(frame[:32] + bytes(8) + frame[32:])
    assert ssf.read(longer) == ssf.Head(2, 1) and ssf.data_of(longer) == b"abc"


@given(st.binary(max_size=80))
@example(b"SPST" + bytes(28))
@settings(max_examples=300)
def test_any_other_bytes_are_refused(data):
    with pytest.raises(Malformed, match="frame: got"):
        ssf.read(data)


@pytest.mark.parametrize("at", [0, 4, 6, 24, 28])
def test_a_frame_that_lies_about_itself_is_refused(at):
    frame = bytearray(ssf.make(2, 1, meta=b"{}", data=b"abc"))
    frame[at] ^= 1
    with pytest.raises(Malformed, match="expected"):
        ssf.read(bytes(frame))
