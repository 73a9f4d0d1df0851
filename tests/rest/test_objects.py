"""Objects over HTTP: versions, conditions, references, pins, and content that is kept as long as something names it."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests

from tests.rest._server import serving

BIG = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("objects") / "data") as found:
        yield found


def put(server, key, content=b"content", **headers):
    answer = server.put(f"/objects/{key}", content, headers={name.replace("_", "-"): v for name, v in headers.items()})
    assert answer.status_code in (200, 201), answer.text
    return answer


def listed(server, **query):
    return server.get("/objects", params=query).json()


def row(server, key):
    return next(one for one in listed(server, prefix=key)["objects"] if one["key"] == key)


def test_a_new_object_is_created_and_overwriting_it_makes_the_next_version(server):
    first, second = put(server, "b/versions", b"one"), put(server, "b/versions", b"two")
    assert [first.status_code, second.status_code] == [201, 200]
    assert [first.headers["ETag"], second.headers["ETag"]] == ['"1"', '"2"']
    assert second.json() == {
        "key": "b/versions",
        "version": 2,
        "size": 3,
        "sha256": hashlib.sha256(b"two").hexdigest(),
        "position": int(second.headers["X-Position"]),
    }
    assert server.get("/objects/b/versions").content == b"two"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_536, 1_000_001])
def test_what_goes_in_comes_out(server, size):
    content = os.urandom(size)
    put(server, f"sizes/{size}", content)
    answer = server.get(f"/objects/sizes/{size}")
    assert (answer.content, answer.headers["Content-Length"], answer.headers["ETag"]) == (content, str(size), '"1"')


def test_an_object_keeps_its_content_type_and_metadata(server):
    put(
        server,
        "b/typed",
        b"{}",
        Content_Type="application/json",
        X_Object_Meta_Owner="Zoë".encode(),
        X_Object_Meta_N="1",
    )
    answer = server.get("/objects/b/typed")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Object-Meta-Owner"].encode("latin-1").decode() == "Zoë"
    assert row(server, "b/typed")["metadata"] == {"owner": "Zoë", "n": "1"}


def test_metadata_that_is_too_long_is_refused(server):
    answer = server.put("/objects/b/meta", b"", headers={"X-Object-Meta-A": "x" * 4097})
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, "X-Object-Meta-*")


@pytest.mark.parametrize(
    "key", ["a/b/c/d", "a//b", "a/b/", "a/refs", "a/pin", "a/%20space", "日/本", "a/..%2fx", "a/refs/x"]
)
def test_a_key_may_hold_slashes_and_whatever_else_is_printable(server, key):
    put(server, key, key.encode())
    assert server.get(f"/objects/{key}").content == key.encode()
    assert server.call("HEAD", f"/objects/{key}").status_code == 200


def test_a_key_with_a_slash_at_its_end_is_another_key(server):
    put(server, "dir/x", b"file")
    put(server, "dir/x/", b"folder")
    assert [server.get(f"/objects/dir/{key}").content for key in ("x", "x/")] == [b"file", b"folder"]


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_the_longest_key_may_be_of_any_script(server, letter):
    key = f"b/{letter * 1022}"
    put(server, quote(key), b"long")
    assert server.get(f"/objects/{quote(key)}").content == b"long"
    assert [one["key"] for one in listed(server, prefix=key)["objects"]] == [key]


@pytest.mark.parametrize("key", ["a%00b", "a%7Fb", "a%0Ab", "a%0A", "x" * 1025])
def test_a_key_that_cannot_be_shown_or_is_too_long_is_refused(server, key):
    for method in ("PUT", "GET", "DELETE"):
        assert server.call(method, f"/objects/{key}").status_code == 422


def test_a_bare_key_is_in_the_default_bucket(server):
    assert put(server, "bare", b"x").json()["key"] == "default/bare"
    assert server.get("/objects/default/bare").content == b"x"
    assert row(server, "default/bare")["bucket"] == "default"


def test_an_object_whose_key_ends_in_refs_is_deleted_by_letting_go_of_it(server):
    put(server, "tail/refs")
    assert server.delete("/objects/tail/refs").status_code == 404
    assert server.delete("/objects/tail/refs/refs").json()["deleted"] is True
    assert server.get("/objects/tail/refs").status_code == 404


def test_head_tells_everything_but_the_content(server):
    put(server, "b/head", b"x" * BIG, Content_Type="text/plain")
    answer = server.call("HEAD", "/objects/b/head")
    assert (answer.status_code, answer.content) == (200, b"")
    told = server.get("/objects/b/head").headers
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "X-Content-Type-Options"):
        assert answer.headers[name] == told[name]


def test_a_part_of_an_object_can_be_read(server):
    for key, content in (("b/small", b"0123456789"), ("b/big", b"0123456789" * 1000)):
        put(server, key, content)
        answer = server.get(f"/objects/{key}", headers={"Range": "bytes=-4"})
        assert (answer.status_code, answer.content) == (206, b"6789")
        size = len(content)
        assert answer.headers["Content-Range"] == f"bytes {size - 4}-{size - 1}/{size}"


def test_a_version_that_the_caller_has_is_not_sent_again(server):
    put(server, "b/cached")
    assert server.get("/objects/b/cached", headers={"If-None-Match": '"1"'}).status_code == 304
    put(server, "b/cached", b"changed")
    assert server.get("/objects/b/cached", headers={"If-None-Match": '"1"'}).content == b"changed"


def test_an_unknown_object_is_not_found_whatever_is_asked_of_it(server):
    asked = [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("POST", "/refs"), ("DELETE", "/refs"), ("POST", "/pin")]
    for method, suffix in [*asked, ("DELETE", "/pin")]:
        answer = server.call(method, f"/objects/no/such/thing{suffix}")
        assert answer.status_code == 404, (method, suffix)
    assert answer.json()["error"] == "OBJECT_NOT_FOUND"


def test_writing_on_condition_of_a_version_works_once(server):
    put(server, "b/once", b"one")
    assert put(server, "b/once", b"two", If_Match='"1"').headers["ETag"] == '"2"'
    answer = server.put("/objects/b/once", b"three", headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["ETag"], answer.json()["error"]) == (412, '"2"', "PRECONDITION_FAILED")
    assert server.get("/objects/b/once").content == b"two"


def test_writing_and_deleting_on_condition_of_the_content_works_while_it_is_that(server):
    first, second = (hashlib.sha256(text).hexdigest() for text in (b"first", b"second"))
    assert server.put("/objects/b/by-hash", b"first", headers={"If-Match": f'"{first}"'}).status_code == 412
    put(server, "b/by-hash", b"first")
    assert put(server, "b/by-hash", b"second", If_Match=f'"{first.upper()}"').headers["ETag"] == '"2"'
    answer = server.put("/objects/b/by-hash", b"third", headers={"If-Match": f'"{first}"'})
    assert (answer.status_code, answer.headers["ETag"], answer.json()["error"]) == (412, '"2"', "PRECONDITION_FAILED")
    assert f"expected content with the SHA-256 {first}" in answer.json()["message"]
    assert server.delete("/objects/b/by-hash", headers={"If-Match": f'"{first}"'}).status_code == 412
    assert server.delete("/objects/b/by-hash", headers={"If-Match": f'"{second}"'}).json()["deleted"] is True
    assert server.put("/objects/b/by-hash", b"x", headers={"If-Match": f'"{second}"'}).status_code == 412


def test_any_version_means_that_the_object_must_be_there(server):
    answer = server.put("/objects/b/any", b"x", headers={"If-Match": "*"})
    assert answer.status_code == 412 and "ETag" not in answer.headers
    put(server, "b/any")
    assert put(server, "b/any", If_Match="*").headers["ETag"] == '"2"'


def test_no_version_means_that_the_object_must_not_be_there(server):
    assert put(server, "b/none", b"one", If_None_Match="*").status_code == 201
    answer = server.put("/objects/b/none", b"two", headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.headers["ETag"]) == (412, '"1"')
    assert server.delete("/objects/b/none").ok
    assert put(server, "b/none", b"two", If_None_Match="*").headers["ETag"] == '"2"'


def test_deleting_on_condition_of_a_version_spares_a_newer_one(server):
    put(server, "b/spared", b"one")
    put(server, "b/spared", b"two")
    assert server.delete("/objects/b/spared", headers={"If-Match": '"1"'}).status_code == 412
    assert server.delete("/objects/b/spared", headers={"If-Match": '"2"'}).json()["deleted"] is True


@pytest.mark.parametrize(
    ("name", "value"), [("If-Match", "abc"), ("If-Match", "f" * 63), ("If-Match", '"1", "2"'), ("If-None-Match", '"1"')]
)
def test_a_condition_that_is_not_understood_is_refused(server, name, value):
    answer = server.put("/objects/b/odd", b"x", headers={name: value})
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, name)


def test_a_refused_write_leaves_no_content_behind(server):
    put(server, "b/refused")
    content = os.urandom(BIG)
    assert server.put("/objects/b/refused", content, headers={"If-None-Match": "*"}).status_code == 412
    assert list((server.data_dir / "files").rglob(hashlib.sha256(content).hexdigest())) == []


@pytest.mark.parametrize(
    "headers", [{"If-Match": '"1"'}, {"If-Match": hashlib.sha256(b"first").hexdigest()}, {"If-None-Match": "*"}]
)
def test_of_writers_with_the_same_condition_exactly_one_wins(server, headers):
    key = f"race/{len(str(headers))}"
    if "If-Match" in headers:
        put(server, key, b"first")

    def write(number):
        url = f"{server.url}/api/v1/objects/{key}"
        return requests.put(url, os.urandom(5000) + b"%d" % number, headers=headers, timeout=30)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(write, range(32)))
    assert sorted(answer.status_code for answer in answers)[1:] == [412] * 31
    won = next(number for number, answer in enumerate(answers) if answer.ok)
    assert server.get(f"/objects/{key}").content.endswith(b"%d" % won)


def test_writers_without_a_condition_all_win_with_versions_of_their_own(server):
    def write(number):
        url = f"{server.url}/api/v1/objects/race/free"
        return number, requests.put(url, b"%d" % number, timeout=30).json()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(write, range(32)))
    assert sorted(answer["version"] for _, answer in answers) == list(range(1, 33))
    last = max(answers, key=lambda pair: pair[1]["version"])
    assert server.get("/objects/race/free").content == b"%d" % last[0]
    for number, answer in answers:
        assert server.get("/objects/race/free", params={"as_of": answer["position"]}).content == b"%d" % number


def test_references_are_counted_and_the_last_one_takes_the_object_along(server):
    put(server, "b/counted")
    assert server.post("/objects/b/counted/refs").json()["new_ref_count"] == 2
    added = server.call("POST", "/objects/b/counted/refs", json={"count": 3}).json()
    assert (added["success"], added["new_ref_count"], added["deleted"]) == (True, 5, False)
    assert row(server, "b/counted")["refs"] == 5
    assert server.call("DELETE", "/objects/b/counted/refs", json={"count": 6}).status_code == 409
    assert server.call("DELETE", "/objects/b/counted/refs", json={"count": 4}).json()["new_ref_count"] == 1
    last = server.delete("/objects/b/counted/refs")
    assert (last.json()["new_ref_count"], last.json()["deleted"], last.headers["ETag"]) == (0, True, '"1"')
    assert server.get("/objects/b/counted").status_code == 404


@pytest.mark.parametrize("count", [0, -1, 1.5, "x", 10**30])
def test_a_count_that_is_no_small_positive_number_is_refused(server, count):
    put(server, "b/count")
    for method in ("POST", "DELETE"):
        assert server.call(method, "/objects/b/count/refs", json={"count": count}).status_code == 422


def test_a_pinned_object_outlives_its_references_until_it_is_unpinned(server):
    put(server, "b/pinned")
    assert server.post("/objects/b/pinned/pin").json()["pinned"] is True
    assert server.post("/objects/b/pinned/pin").json()["position"] == 0
    held = server.delete("/objects/b/pinned/refs").json()
    assert (held["new_ref_count"], held["deleted"]) == (0, False)
    assert row(server, "b/pinned")["pinned"] is True
    assert server.delete("/objects/b/pinned/pin").json()["deleted"] is True
    assert server.get("/objects/b/pinned").status_code == 404


def test_unpinning_keeps_an_object_that_is_referenced(server):
    put(server, "b/kept")
    server.post("/objects/b/kept/pin")
    assert server.delete("/objects/b/kept/pin").json()["deleted"] is False
    assert server.get("/objects/b/kept").ok


def test_a_pinned_object_is_deleted_only_by_force(server):
    put(server, "b/forced")
    server.post("/objects/b/forced/pin")
    refused = server.delete("/objects/b/forced")
    assert (refused.status_code, refused.json()["error"]) == (409, "OBJECT_PINNED")
    assert server.delete("/objects/b/forced", params={"force": "true"}).json()["deleted"] is True


def test_the_list_is_by_name_within_a_prefix_page_by_page(server):
    keys = [f"list/{name}" for name in ("a", "a/b", "b", "c", "日")]
    for key in reversed(keys):
        put(server, key)
    found, after = [], ""
    while True:
        page = listed(server, prefix="list/", limit=2, after=after)
        found += [one["key"] for one in page["objects"]]
        after = page["next_after"]
        if not after:
            break
    assert found == keys
    assert [one["key"] for one in listed(server, prefix="list/a")["objects"]] == ["list/a", "list/a/b"]
    assert set(row(server, "list/a")) == {
        "key", "bucket", "version", "size", "sha256", "content_type", "metadata", "refs", "pinned",
        "created_at_ms", "updated_at_ms", "node_uuid",
    }  # fmt: skip


def test_older_versions_and_deleted_objects_are_readable_as_of_then(server):
    positions = [put(server, "b/past", content).json()["position"] for content in (b"one", os.urandom(BIG))]
    assert server.delete("/objects/b/past").ok
    answer = server.get("/objects/b/past", params={"as_of": positions[0]})
    assert (answer.content, answer.headers["X-As-Of"], answer.headers["ETag"]) == (b"one", str(positions[0]), '"1"')
    assert len(server.get("/objects/b/past", params={"as_of": positions[1]}).content) == BIG
    assert listed(server, prefix="b/past", as_of=positions[1])["objects"][0]["version"] == 2
    assert listed(server, prefix="b/past")["objects"] == []


def test_content_that_was_collected_is_not_found_and_says_so(server):
    written = put(server, "b/collected", os.urandom(BIG)).json()
    assert server.delete("/objects/b/collected").ok
    (server.data_dir / "files" / written["sha256"][:2] / written["sha256"]).unlink()
    answer = server.get("/objects/b/collected", params={"as_of": written["position"]})
    assert (answer.status_code, answer.json()["error"]) == (404, "CONTENT_COLLECTED")
    assert "was collected" in answer.json()["message"]


def test_damaged_content_is_reported_and_never_served(server):
    written = put(server, "b/damaged", b"x" * BIG).json()
    place = server.data_dir / "files" / written["sha256"][:2] / written["sha256"]
    place.write_bytes(b"y" + place.read_bytes()[1:])
    for headers in ({}, {"Range": "bytes=5-6"}):
        answer = server.get("/objects/b/damaged", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (500, "CORRUPT")


def test_writing_damaged_content_again_mends_it(server):
    written = put(server, "b/mended", b"z" * BIG).json()
    place = server.data_dir / "files" / written["sha256"][:2] / written["sha256"]
    place.write_bytes(b"")
    put(server, "b/mended-too", b"z" * BIG)
    assert server.get("/objects/b/mended").content == b"z" * BIG


@pytest.mark.parametrize("chunked", [False, True])
def test_an_object_over_the_limit_is_refused_by_its_number(tmp_path, chunked):
    (tmp_path / "config.toml").write_text("[spearlet.storage]\nmax_object_size = 5000\n")
    with serving(tmp_path / "data", "--config", str(tmp_path / "config.toml")) as server:
        content = b"x" * 5001
        answer = server.put("/objects/a/b", iter([content]) if chunked else content)
        assert (answer.status_code, answer.json()["details"]) == (413, {"limit": 5000})
        assert server.get("/objects/a/b").status_code == 404
        assert server.put("/objects/a/b", content[1:]).status_code == 201


def test_objects_outlive_a_restart(tmp_path):
    with serving(tmp_path / "data") as server:
        for content in (b"small", b"x" * BIG):
            put(server, "b/kept", content)
        server.post("/objects/b/kept/pin")
        server.restart()
        assert server.get("/objects/b/kept").content == b"x" * BIG
        assert (row(server, "b/kept")["version"], row(server, "b/kept")["pinned"]) == (2, True)
        assert put(server, "b/kept", b"more").headers["ETag"] == '"3"'
