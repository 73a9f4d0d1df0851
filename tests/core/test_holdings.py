"""The list of what nodes have: each name once, in order, page by page, at a cost that nodes which are gone do not raise."""

import io
from uuid import uuid4

import pytest

from spear.domain.holding import HoldingReport
from spear.domain.object import Object
from spear.projections import holdings
from spear.projections.holdings import list_known
from spear.projections.objects import names_within
from spear.services.content import Contents
from spear.services.nodes import OwnNode
from spear.services.objects import Objects
from spear.services.reports import Reports
from tests.core._node import ORIGIN, node


@pytest.fixture
def here(tmp_path):
    with node(tmp_path, own="") as opened:
        yield opened


def told(here, uuid, key, at_us=1):
    """The node says that it has an object of this name."""
    reports = Reports(here.unit, here.reader, lines=None, node=OwnNode(""))
    seen = HoldingReport(bucket="b", key=key, version=1, sha256="0" * 64, size=1, content_type="")
    assert reports.object(ORIGIN, Object.ident("b", key), seen, node_uuid=uuid, updated_at_us=at_us)


def own(here, key):
    """This process has an object of this name."""
    objects = Objects(here.unit, here.reader, Contents(here.blobs), max_object_size=9)
    objects.put(ORIGIN, f"b/{key}", io.BytesIO(), content_type="")


def pages(here, limit):
    """What each page lists, until there is no cursor."""
    found, after = [], ""
    while True:
        rows, after = list_known(here.reader, prefix="b/", after=after, limit=limit)
        assert len(rows) <= limit
        found.append([(row.key, getattr(row, "node_uuid", "")) for row in rows])
        if not after:
            return found


@pytest.mark.parametrize("looked_at", [1, 2, 3, 7, 5000])
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_every_name_is_on_one_page_whatever_lies_between(here, monkeypatch, looked_at, limit):
    monkeypatch.setattr(holdings, "_LOOKED_AT", looked_at)
    first, last, gone = here.join(), here.join(), here.join()
    for key in ("a", "c", "d", "m", "z"):
        told(here, first, key)
    for key in ("c", "e"):
        told(here, last, key, at_us=2)
    for number in range(12):
        told(here, gone, f"c{number:02}", at_us=3)
        told(here, gone, "m", at_us=3)
    for key in ("b", "d", "zz"):
        own(here, key)
    here.nodes.delete(ORIGIN, gone, "gone")
    found = pages(here, limit)
    wanted = [("a", first), ("b", ""), ("c", last), ("d", ""), ("e", last), ("m", first), ("z", first), ("zz", "")]
    assert [row for page in found for row in page] == wanted


def test_a_page_looks_no_further_than_at_so_many_rows(here, monkeypatch):
    monkeypatch.setattr(holdings, "_LOOKED_AT", 4)
    gone, lives = here.join(), here.join()
    for number in range(10):
        told(here, gone, f"a{number}")
    told(here, lives, "b")
    here.nodes.delete(ORIGIN, gone, "gone")
    assert pages(here, 100) == [[], [], [("b", lives)]]


def test_of_one_name_a_node_that_is_registered_is_asked_before_one_that_was_removed(here):
    lives, gone = here.join(), here.join()
    told(here, lives, "k", at_us=1)
    told(here, gone, "k", at_us=2)
    assert holdings.holders_of(here.reader, "b/k", most=8) == [gone, lives]
    here.nodes.delete(ORIGIN, gone, "gone")
    assert holdings.holders_of(here.reader, "b/k", most=8) == [lives, gone]
    assert holdings.holders_of(here.reader, f"b/{uuid4()}", most=8) == []


@pytest.mark.parametrize(
    ("prefix", "after", "bounds"),
    [
        ("b/", "", ("name >= ?", "b/")),
        ("b/", "a/z", ("name >= ?", "b/")),
        ("b/", "b/k", ("name > ?", "b/k")),
        ("b/", "c/", ("name > ?", "c/")),
        ("", "", ("name > ?", "")),
    ],
)
def test_a_list_begins_to_look_where_its_names_begin(prefix, after, bounds):
    within, (lower, _) = names_within(prefix, after)
    assert (within.partition(" AND ")[0], lower) == bounds
    assert within.count("?") == 2


def test_the_list_is_read_from_its_index_between_two_bounds(here):
    within, span = names_within("b/", "b/k")
    for table in ("holdings", "objects"):
        plan = here.reader.values(
            f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {within} ORDER BY name LIMIT 9", span
        )
        assert len(plan) == 1 and "(name>? AND name<?)" in plan[0][3], plan
