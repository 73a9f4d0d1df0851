"""Cursors over HTTP: pages and streams that prove they are whole, and say reset or gap when they cannot be."""

import itertools
import shutil
import signal
import threading
from contextlib import closing, suppress

import apsw
import pytest
import requests

from spear.events.recorder import checksummed_vfs
from spear.protocols.cursor import Cursor
from tests.rest._server import listening, serving
from tests.rest._sockets import closed, connected, heard


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("cursors") / "data") as found:
        write(found, 12)
        yield found


def write(server, count, *, name="k"):
    for number in range(count):
        assert server.put(f"/objects/b/{name}", b"%d" % number).ok


def page(server, **query):
    answer = server.get("/events", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(server, status, code, **query):
    answer = server.get("/events", params=query)
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    return answer.json()


def pages(server, **query):
    """Events, each page asked for with the cursor of the one before and nothing else."""
    found = page(server, **query)
    while True:
        yield from found["events"]
        if found["next_after"] >= found["head"]:
            return
        found = page(server, cursor=found["next_cursor"], limit=query.get("limit", 100))


@pytest.mark.parametrize("chosen", [{}, {"noun": "object"}, {"type": "ObjectPut", "id": "b/k"}])
def test_a_cursor_carries_its_filter_and_misses_nothing(server, chosen):
    whole = page(server, limit=1000, **chosen)["events"]
    assert list(pages(server, limit=5, **chosen)) == whole and len(whole) >= 12


def test_each_event_names_the_one_before_in_the_same_filter(server):
    found = page(server, noun="object")["events"]
    assert [event["previous"] for event in found] == [0, *(event["position"] for event in found)][:-1]
    later = page(server, cursor=found[4]["cursor"])
    assert later["previous"] == later["events"][0]["previous"] == found[4]["position"]


def test_a_cursor_of_an_empty_page_hears_what_comes_next(server):
    begin = page(server, after=-1, noun="object")["next_cursor"]
    assert page(server, cursor=begin)["events"] == []
    write(server, 1)
    assert [event["type"] for event in page(server, cursor=begin)["events"]] == ["ObjectPut"]


@pytest.mark.parametrize("text", ["x", "0", "A" * 50, "日", "A" * 7800])
def test_what_is_no_cursor_is_refused_by_name(server, text):
    for headers in ({}, {"Accept": "text/event-stream"}):
        answer = server.get("/events", params={"cursor": text}, headers=headers)
        assert (answer.status_code, answer.json()["details"]["field"]) == (422, "cursor")


def test_a_cursor_beside_another_filter_is_refused_and_beside_its_own_is_not(server):
    cursor = page(server, noun="object", limit=2)["next_cursor"]
    assert page(server, cursor=cursor, noun="object")["events"] == page(server, cursor=cursor)["events"]
    assert "same filter" in refusal(server, 422, "INVALID_ARGUMENT", cursor=cursor, noun="task")["message"]


def test_a_stream_begins_at_its_cursor_and_gives_one_with_each_event(server):
    third = page(server, noun="object")["events"][2]
    with listening(server, f"/events?cursor={third['cursor']}") as heard:
        first, second = next(heard), next(heard)
    assert first.data["previous"] == third["position"] and first.id == str(first.data["position"])
    with listening(server, f"/events?cursor={first.data['cursor']}") as heard:
        assert next(heard).data == second.data


def test_a_browser_that_asks_again_with_its_first_cursor_goes_on_where_it_was(server):
    cursor = page(server, noun="object", limit=1)["next_cursor"]
    with listening(server, f"/events?cursor={cursor}") as heard:
        first, second = next(heard), next(heard)
    with listening(server, f"/events?cursor={cursor}", after=first.id) as heard:
        assert next(heard).data == second.data


def ending(server, path, **options):
    """What the last message of a stream that ends by itself is, and says."""
    with listening(server, path, **options) as heard:
        (*_, last) = heard
    return last.event, last.data


def goodbye(server, cursor):
    """The last message of a WebSocket that ends by itself, and how it ends."""
    with connected(server, f"/api/v1/events/ws?cursor={cursor}") as client:
        return heard(client), *closed(client)


def test_a_cursor_of_another_server_is_reset_on_every_door(server, tmp_path):
    with serving(tmp_path / "other") as other:
        cursor = page(server, noun="object")["next_cursor"]
        told = refusal(other, 409, "CURSOR_RESET", cursor=cursor)
        assert told["details"]["reason"] == "other_log"
        assert ending(other, f"/events?cursor={cursor}") == ("reset", told)
        assert goodbye(other, cursor) == (told, 4409, "CURSOR_RESET")
        anew = page(other, cursor=told["details"]["cursor"])
        assert anew["events"] == page(other, noun="object")["events"]


def test_an_event_id_from_beyond_the_end_is_a_reset(server):
    event, told = ending(server, "/events", after="999999")
    assert (event, told["details"]["reason"]) == ("reset", "beyond_head")


def test_a_restored_server_resets_cursors_from_the_time_that_was_undone(tmp_path):
    with serving(tmp_path / "data") as server:
        write(server, 5)
        kept = page(server)["next_cursor"]
        server.timed_stop()
        shutil.copytree(tmp_path / "data", tmp_path / "backup")
        server.start()
        write(server, 5, name="undone")
        lost = page(server)["next_cursor"]
        server.timed_stop()
        shutil.rmtree(tmp_path / "data")
        (tmp_path / "backup").rename(tmp_path / "data")
        server.start()
        assert refusal(server, 409, "CURSOR_RESET", cursor=lost)["details"]["reason"] == "beyond_head"
        write(server, 50, name="anew")
        assert refusal(server, 409, "CURSOR_RESET", cursor=lost)["details"]["reason"] == "other_history"
        assert page(server, cursor=kept)["events"][0]["position"] == Cursor.parse(kept).position + 1


def test_a_cursor_below_the_floor_is_a_gap_on_every_door_and_goes_on_behind_it(tmp_path):
    with serving(tmp_path / "data", "--role", "sms") as server:
        write(server, 20)
        early = page(server, limit=3)["next_cursor"]
        server.timed_stop()
        with closing(apsw.Connection(str(tmp_path / "data" / "sms.db"), vfs=checksummed_vfs())) as db:
            db.execute("DROP TRIGGER events_keep_delete")
            db.execute("DELETE FROM events WHERE position <= 10")
        server.start()
        told = refusal(server, 409, "CURSOR_GAP", cursor=early)
        assert (told["details"]["missing_from"], told["details"]["missing_to"]) == (4, 10)
        assert told["details"]["where"] in told["message"]
        assert ending(server, f"/events?cursor={early}") == ("gap", told)
        assert goodbye(server, early) == (told, 4409, "CURSOR_GAP")
        assert page(server, cursor=told["details"]["cursor"])["events"][0]["position"] == 11


def test_a_stream_over_kills_of_the_server_carries_every_event_once(tmp_path):
    with serving(tmp_path / "data") as server:
        cursor, found, stop = page(server, after=0, limit=1)["next_cursor"], [1], threading.Event()

        def busy():
            for number in itertools.count():
                if stop.is_set():
                    return
                try:
                    requests.put(f"{server.url}/api/v1/objects/b/{number}", data=b"x", timeout=5)
                except requests.RequestException:
                    stop.wait(0.01)

        writers = [threading.Thread(target=busy) for _ in range(2)]
        for writer in writers:
            writer.start()
        try:
            for turn in range(8):
                with suppress(requests.RequestException), listening(server, f"/events?cursor={cursor}") as heard:
                    for count, one in enumerate(heard):
                        found.append(one.data["position"])
                        cursor = one.data["cursor"]
                        if count == 20 + 7 * turn and turn % 3 == 2:
                            server.stop(signal.SIGKILL)  # in the middle of the stream
                        elif count > 20 + 7 * turn and turn % 3 != 2:
                            break
                if turn % 3 == 2:
                    server.start()
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        found += [event["position"] for event in pages(server, cursor=cursor, limit=1000)]
        assert found == list(range(1, page(server)["head"] + 1))
