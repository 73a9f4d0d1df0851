"""Views are folded before a commit returns and written to their file behind it: no reader and no crash can tell."""

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID, uuid4

import pytest

from spear.domain.file import File
from spear.domain.node import Node
from spear.events import writer
from spear.projections.nodes import NODES, get_node
from spear.projections.objects import FILES, get_file
from spear.projections.reader import Reader
from spear.projections.tasks import ENDPOINTS
from spear.projections.views import open_views, reader_of
from tests.crash._support import ORIGIN, VIEWS, Store, differences_from_rebuilt, make_log, store
from tests.server import eventually


@pytest.fixture
def unhurried(monkeypatch) -> None:
    """Nothing is written only because nobody waits."""
    monkeypatch.setattr(writer, "_LULL_S", 3600)


@pytest.fixture
def opened(tmp_path) -> Iterator[Store]:
    with store(tmp_path) as found:
        yield found


@pytest.fixture
def reader(opened) -> Iterator[Reader]:
    with closing(reader_of(opened.views, opened.log)) as found:
        yield found


def registered(log, ident: UUID, port: int = 1) -> Node:
    node = Node(id=ident, ip_address="10.0.0.1", port=port, http_port=1, metadata={})
    log.commit(node.collect_events(), ORIGIN)
    return node


def uploaded(log) -> str:
    file = File(id=uuid4(), name="f", content_type="", size=0, sha256="")
    log.commit(file.collect_events(), ORIGIN)
    return str(file.id)


def test_a_commit_returns_before_the_file_has_it_and_a_reader_sees_it(unhurried, opened, reader):
    node = registered(opened.log, uuid4())
    assert opened.views.checkpoint[0] == 0
    assert get_node(reader, str(node.id)).port == 1
    assert opened.views.checkpoint[0] == opened.log.head == 1


def test_a_reader_waits_only_for_the_tables_that_it_reads(unhurried, opened, reader):
    file_id = uploaded(opened.log)
    assert (opened.views.owes(FILES), opened.views.owes(NODES), opened.views.owes(None)) == (True, False, True)
    assert get_node(reader, file_id) is None
    assert opened.views.checkpoint[0] == 0
    assert get_file(reader, file_id).name == "f"
    assert not opened.views.owes(None)


def test_a_condition_that_looks_at_other_tables_waits_for_them_too(unhurried, opened, reader):
    file_id = uploaded(opened.log)
    assert get_file(reader, file_id)
    registered(opened.log, uuid4())
    assert reader.rows(FILES, "EXISTS (SELECT 1 FROM nodes)")


def test_the_file_follows_by_itself_when_nobody_waits(opened):
    registered(opened.log, uuid4())
    eventually(lambda: opened.views.checkpoint[0] == opened.log.head)


def test_the_file_is_never_far_behind(unhurried, monkeypatch, opened):
    monkeypatch.setattr(writer, "_MOST_BEHIND", 10)
    for _ in range(35):
        registered(opened.log, uuid4())
        assert opened.log.head - opened.views.checkpoint[0] <= 10


def test_a_closed_log_leaves_nothing_unwritten(unhurried, opened):
    registered(opened.log, uuid4())
    opened.log.close()
    assert opened.views.checkpoint[0] == opened.log.head


def test_what_was_not_written_is_folded_again_by_the_next_process(unhurried, tmp_path):
    with make_log(tmp_path) as log, closing(open_views(tmp_path / VIEWS, log)) as views:
        log.start(views)
        registered(log, uuid4())
        behind = (tmp_path / VIEWS).read_bytes()
        log.close()
    (tmp_path / VIEWS).write_bytes(behind)
    with make_log(tmp_path) as log, closing(open_views(tmp_path / VIEWS, log)) as views:
        assert views.checkpoint[0] == log.head == 1
        assert differences_from_rebuilt(tmp_path, log) == {}


def test_a_row_that_was_removed_and_made_again_before_it_was_written_is_a_new_one(unhurried, tmp_path, opened, reader):
    node = registered(opened.log, uuid4())
    assert get_node(reader, str(node.id)).seq == 1
    node.delete("gone")
    opened.log.commit(node.collect_events(), ORIGIN)
    node.register_again(ip_address="10.0.0.1", port=2, http_port=1, metadata={})
    opened.log.commit(node.collect_events(), ORIGIN)
    assert (get_node(reader, str(node.id)).seq, get_node(reader, str(node.id)).port) == (3, 2)
    assert differences_from_rebuilt(tmp_path, opened.log) == {}


def test_who_watches_a_table_hears_of_each_commit_only_what_it_touched(unhurried, opened):
    heard: list[list[str]] = []
    opened.views.watch(NODES, lambda rows: heard.append(list(rows)))
    opened.views.watch(ENDPOINTS, lambda rows: heard.append(["never"]))
    idents = [uuid4() for _ in range(3)]
    for ident in idents:
        registered(opened.log, ident)
    assert heard == [[str(ident)] for ident in idents]
