import json
import signal
import sys

import pytest

from spear.events.record import Origin
from tests.core.events_cli._support import TEST, lines_of, log_in, new_node, ok, recorded, register, started


def test_tail_prints_the_last_events_one_a_line(history, facts):
    lines = ok(history, "tail --limit 3").splitlines()
    assert [int(line.split()[0]) for line in lines] == [len(facts) - 2, len(facts) - 1, len(facts)]
    assert facts[-1]["topic"] in lines[-1] and facts[-1]["originator_id"] in lines[-1] and "tester" in lines[-1]
    assert all(line.split()[1].endswith("Z") for line in lines)


def test_tail_as_json_holds_every_stored_field_and_the_time_once_more(history, facts):
    found = lines_of(history, "tail --after 0")
    assert [{name: value for name, value in fact.items() if name != "time"} for fact in found] == facts
    assert found[0]["time"] == "2023-11-14T22:13:20.001000Z"


def test_tail_selects_types_by_short_and_by_full_name_in_order(history, facts):
    found = lines_of(history, "tail --after 0 --type TaskCreated --type node.NodeRegistered")
    wanted = [fact["position"] for fact in facts if fact["topic"] in ("task.TaskCreated", "node.NodeRegistered")]
    assert [fact["position"] for fact in found] == wanted
    last = lines_of(history, "tail --limit 2 --type TaskCreated --type node.NodeRegistered")
    assert [fact["position"] for fact in last] == wanted[-2:]


def test_tail_begins_after_a_time(history, facts):
    later = [fact for fact in facts if fact["time_us"] > facts[20]["time_us"]]
    when = lines_of(history, "show 21")[0]["time"]
    assert [fact["position"] for fact in lines_of(history, f"tail --after {when}")] == [f["position"] for f in later]


def test_follow_prints_what_another_process_records_and_ends_cleanly_on_ctrl_c(server, tmp_path):
    argv = (sys.executable, "-m", "spear.events", "tail", "--follow", "--after", "2", "--data-dir", str(tmp_path))
    with started(*argv) as tail:
        assert tail.stdout.readline().split()[0] == "3"
        for _ in range(3):
            position = recorded(server)
            assert tail.stdout.readline().split()[0] == str(position)
        tail.send_signal(signal.SIGINT)
        assert tail.communicate(timeout=30) == ("", "")
    assert tail.returncode == 0


def test_follow_ends_by_itself_at_its_limit(server, tmp_path):
    assert len(ok(tmp_path, "tail --follow --after 0 --limit 2").splitlines()) == 2


def test_show_links_an_event_to_its_stream(tmp_path):
    with log_in(tmp_path) as log:
        node = new_node(1)
        log.commit(node.collect_events(), TEST)
        register(log, 2)
        for act in (node.lose, node.delete):
            act("silent")
            log.commit(node.collect_events(), TEST)
    [found] = lines_of(tmp_path, "show 3")
    assert (found["topic"], found["state"]) == ("node.NodeLost", {"reason": "silent"})
    assert (found["links"]["previous"], found["links"]["next"]) == (1, 4)
    text = ok(tmp_path, "show 3")
    assert "before: 1, after: 4" in text and found["hash"] in text and '"reason": "silent"' in text


def test_show_names_what_an_event_led_to_and_says_when_there_is_more(tmp_path):
    with log_in(tmp_path) as log:
        first = register(log, 1, Origin("test", "request"))
        register(log, 2, Origin("test", "request"))
        register(log, 3, Origin("test", "other"))
        for number in range(4, 30):
            register(log, number, Origin("test", cause=first))
    links = lines_of(tmp_path, "show 1")[0]["links"]
    assert [(f["position"], f["by"]) for f in links["led_to"][:2]] == [(2, "correlation"), (4, "cause")]
    assert (len(links["led_to"]), links["led_to_cut"]) == (20, True)
    assert lines_of(tmp_path, "show 3")[0]["links"]["led_to"] == []


def test_stats_count_every_type_and_add_up(history, facts):
    [found] = lines_of(history, "stats")
    topics = [fact["topic"] for fact in facts]
    assert {row["topic"]: row["events"] for row in found["types"]} == {topic: topics.count(topic) for topic in topics}
    assert found["events"] == len(facts)
    seconds = (facts[-1]["time_us"] - facts[0]["time_us"]) / 1e6
    for row in (*found["types"], found):
        of_type = [fact for fact in facts if row["topic"] in (fact["topic"], "all")]
        states = (json.dumps(fact["state"], separators=(",", ":"), ensure_ascii=False) for fact in of_type)
        assert row["state_bytes"] == sum(len(state.encode()) for state in states)
        assert row["per_second"] == pytest.approx(len(of_type) / seconds, abs=0.001)
    assert ok(history, "stats").splitlines()[-2].split()[:2] == ["all", str(len(facts))]


def test_a_log_without_events_has_answers_too(tmp_path):
    with log_in(tmp_path):
        pass
    assert ok(tmp_path, "tail") == ok(tmp_path, "export") == ""
    assert lines_of(tmp_path, "stats")[0]["events"] == 0
    assert ok(tmp_path, "verify") == "ok: 0 events, chain whole, views match\n"
    assert lines_of(tmp_path, "as-of 0 nodes")[0]["rows"] == []
