"""Uploaded files over HTTP: what goes in comes out, whole or in part, and nothing passes through memory."""

import hashlib
import os
from uuid import UUID

import pytest
import requests

from tests.rest._server import serving
from tests.server import eventually

MB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("files") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("small") / "data", "--max-upload-bytes", "100000") as found:
        yield found


def upload(server, content=b"some content", name=None, **headers):
    headers = headers | ({"x-file-name": name} if name else {})
    answer = server.post("/files", content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(server):
    """The blobs on disk, those half written included."""
    return sorted(str(path) for path in (server.data_dir / "files").rglob("*") if path.is_file())


def test_an_upload_says_what_was_stored(server):
    answer = server.post("/files", b"some content", headers={"x-file-name": "a.txt", "Content-Type": "text/plain"})
    shown = answer.json()
    assert UUID(shown["id"]) and int(answer.headers["X-Position"]) > 0
    assert shown == {
        "success": True,
        "id": shown["id"],
        "name": "a.txt",
        "uri": f"sms+file://{shown['id']}",
        "size": 12,
        "sha256": hashlib.sha256(b"some content").hexdigest(),
        "content_type": "text/plain",
    }


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 65536, 65537, 1_000_001])
def test_what_goes_in_comes_out(server, size):
    content = os.urandom(size)
    shown = upload(server, content)
    answer = server.get(f"/files/{shown['id']}")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["Content-Length"] == str(size) == str(shown["size"])


def test_a_download_has_the_content_type_and_is_never_shown_by_a_browser(server):
    shown = upload(server, b"<script>", name="page.html", **{"Content-Type": "text/html; charset=utf-8"})
    headers = server.get(f"/files/{shown['id']}").headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == "attachment; filename=page.html"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (None, "blob"),
        ("a.txt", "a.txt"),
        ("%E6%97%A5%E6%9C%AC.txt", "日本.txt"),
        ("日本.txt".encode(), "日本.txt"),
        ("=?utf-8?B?5pel5pys?=", "日本"),
        ("caf\u00e9".encode("latin-1"), "café"),
        ("100% sure", "100% sure"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("..%2F..%2Fx", "x"),
        ("..", "blob"),
    ],
)
def test_a_name_may_be_of_any_script_but_never_a_path(server, sent, name):
    shown = upload(server, name=sent)
    assert shown["name"] == name
    assert server.get(f"/files/{shown['id']}/meta").json()["name"] == name


def test_a_name_that_is_not_ascii_comes_back_as_rfc_5987_has_it(server):
    shown = upload(server, name="日 x.txt".encode())
    assert (
        server.get(f"/files/{shown['id']}").headers["Content-Disposition"]
        == "attachment; filename=\"_ x.txt\"; filename*=UTF-8''%E6%97%A5%20x.txt"
    )


@pytest.mark.parametrize("name", ["x" * 256, "a%00b", "a%0Db"])
def test_a_name_that_is_too_long_or_unprintable_is_refused(server, name):
    answer = server.post("/files", b"x", headers={"x-file-name": name})
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, "x-file-name")


def test_what_curl_calls_a_form_is_stored_as_bytes(server):
    shown = upload(server, b"a=b&c", **{"Content-Type": "application/x-www-form-urlencoded"})
    assert shown["content_type"] == "application/octet-stream"
    assert server.get(f"/files/{shown['id']}").content == b"a=b&c"


def test_a_multipart_form_is_refused_with_a_hint(server):
    answer = server.call("POST", "/files", files={"file": b"x"})
    assert answer.status_code == 415
    assert "--data-binary" in answer.json()["message"]


def test_a_chunked_upload_is_stored_whole(server):
    pieces = [os.urandom(size) for size in (1, 70_000, 3, 65_536)]
    shown = upload(server, iter(pieces))
    assert server.get(f"/files/{shown['id']}").content == b"".join(pieces)


def test_a_body_that_is_not_well_chunked_is_refused_and_leaves_nothing(server):
    before = stored(server)
    head = b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = server.raw(head + b"5\r\nhello\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and b"MALFORMED_REQUEST" in answer
    eventually(lambda: stored(server) == before)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(server):
    before, total = stored(server), server.get("/files").json()["total_count"]
    server.raw(b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
    eventually(lambda: stored(server) == before)
    assert server.get("/files").json()["total_count"] == total
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_by_its_number_and_nothing_is_kept(small, chunked):
    before, content = stored(small), b"x" * 100_001
    answer = small.post("/files", iter([content]) if chunked else content)
    assert (answer.status_code, answer.json()["details"]) == (413, {"limit": 100_000})
    assert "100000" in answer.json()["message"]
    assert stored(small) == before
    assert small.get("/files").json()["total_count"] == 0


def test_a_body_that_says_it_is_over_the_limit_is_refused_before_any_of_it_comes(small):
    answer = small.raw(b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413") and b"1000000000000" in answer


def test_a_body_at_the_limit_is_taken(small):
    shown = upload(small, b"x" * 100_000)
    assert small.delete(f"/files/{shown['id']}").json() == {"success": True}


def test_thirty_megabytes_pass_without_growing_the_server(server):
    content = os.urandom(MB) * 30
    upload(server, iter([content[:MB]]))
    before = server.rss_mb
    peaks = []

    def pieces():
        for at in range(0, len(content), MB):
            yield content[at : at + MB]
            peaks.append(server.rss_mb)

    shown = upload(server, pieces())
    answer = server.get(f"/files/{shown['id']}", stream=True)
    digest = hashlib.sha256()
    for piece in answer.iter_content(MB):
        digest.update(piece)
        peaks.append(server.rss_mb)
    assert digest.hexdigest() == shown["sha256"] == hashlib.sha256(content).hexdigest()
    assert max(peaks) - before < 10


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=5-1000", b"56789"),
        ("bytes=-1000", b"0123456789"),
    ],
)
def test_a_range_gives_that_part(server, asked, found):
    shown = upload(server, b"0123456789")
    answer = server.get(f"/files/{shown['id']}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, found)
    first = b"0123456789".index(found)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(found) - 1}/10"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=1000-2000"])
def test_a_range_outside_the_content_is_refused_with_its_size(server, asked):
    shown = upload(server, b"0123456789")
    answer = server.get(f"/files/{shown['id']}", headers={"Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */10")
    assert answer.json()["error"] == "RANGE_NOT_SATISFIABLE"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "lines=1-2", "bytes=x", "bytes=5-2", "nonsense"])
def test_a_range_that_is_not_understood_gives_everything(server, asked):
    shown = upload(server, b"0123456789")
    answer = server.get(f"/files/{shown['id']}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, b"0123456789")


def test_a_range_of_content_that_changed_gives_everything(server):
    shown = upload(server, b"0123456789")
    url = f"/files/{shown['id']}"
    same = {"Range": "bytes=1-2", "If-Range": f'"{shown["sha256"]}"'}
    assert server.get(url, headers=same).content == b"12"
    assert server.get(url, headers=same | {"If-Range": '"other"'}).content == b"0123456789"


def test_what_the_caller_has_already_is_not_sent_again(server):
    shown = upload(server)
    answer = server.get(f"/files/{shown['id']}")
    assert answer.headers["ETag"] == f'"{shown["sha256"]}"'
    again = server.get(f"/files/{shown['id']}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])


def test_head_tells_everything_but_the_content(server):
    shown = upload(server, b"x" * 5000, **{"Content-Type": "text/plain"})
    answer = server.call("HEAD", f"/files/{shown['id']}")
    assert (answer.status_code, answer.content) == (200, b"")
    told = server.get(f"/files/{shown['id']}").headers
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Content-Disposition"):
        assert answer.headers[name] == told[name]


def test_meta_says_what_the_file_is(server):
    shown = upload(server, b"12345", name="m.bin")
    meta = server.get(f"/files/{shown['id']}/meta").json()
    assert meta == {
        "found": True,
        "id": shown["id"],
        "name": "m.bin",
        "len": 5,
        "content_type": "application/octet-stream",
        "sha256": shown["sha256"],
        "created_at": meta["created_at"],
    }


def test_any_spelling_of_the_id_finds_the_file(server):
    shown = upload(server)
    ident = shown["id"]
    for spelling in (ident.upper(), ident.replace("-", ""), f"{{{ident}}}", f"urn:uuid:{ident}"):
        assert server.get(f"/files/{spelling}").content == b"some content"
        assert server.get(f"/files/{spelling}/meta").json()["id"] == ident


@pytest.mark.parametrize("ident", ["nonsense", "00000000-0000-0000-0000-000000000000", "..%2F..%2Fetc%2Fpasswd", "%00"])
def test_an_unknown_or_impossible_id_is_not_found(server, ident):
    for answer in (server.get(f"/files/{ident}"), server.get(f"/files/{ident}/meta"), server.delete(f"/files/{ident}")):
        assert answer.status_code == 404, answer.text


def test_a_deleted_file_is_gone_but_readable_as_of_earlier(server):
    answer = server.post("/files", b"once upon a time", headers={"x-file-name": "old"})
    url, then = f"/files/{answer.json()['id']}", answer.headers["X-Position"]
    gone = server.delete(url)
    assert gone.json() == {"success": True} and int(gone.headers["X-Position"]) > int(then)
    assert [server.get(url).status_code, server.get(f"{url}/meta").status_code] == [404, 404]
    assert server.delete(url).status_code == 404
    past = server.get(url, params={"as_of": then})
    assert (past.content, past.headers["X-As-Of"]) == (b"once upon a time", then)
    assert server.get(f"{url}/meta", params={"as_of": then}).json()["name"] == "old"
    assert url[7:] in [row["id"] for row in server.get("/files", params={"as_of": then}).json()["files"]]


def test_the_list_is_newest_first_and_finds_by_part_of_name_or_id(server):
    marked = [upload(server, name=f"Needle-{n}.txt")["id"] for n in range(3)]
    found = server.get("/files", params={"q": "needle"}).json()
    assert [row["id"] for row in found["files"]] == marked[::-1]
    assert (found["total_count"], found["next_after"]) == (3, 0)
    assert set(found["files"][0]) == {"id", "name", "len", "modified_at", "content_type", "sha256", "uri"}
    assert server.get("/files", params={"q": marked[1][9:]}).json()["total_count"] == 1
    assert server.get("/files", params={"q": "%"}).json()["total_count"] == 1  # the one called "100% sure"


def test_pages_continue_where_the_last_one_ended(server):
    marked = [upload(server, name=f"page-{n}")["id"] for n in range(5)]
    first = server.get("/files", params={"q": "page-", "limit": 2}).json()
    upload(server, name="page-new")
    second = server.get("/files", params={"q": "page-", "limit": 2, "after": first["next_after"]}).json()
    assert [row["id"] for row in first["files"] + second["files"]] == marked[:0:-1]
    skipped = server.get("/files", params={"q": "page-", "limit": 2, "offset": 1}).json()
    assert [row["id"] for row in skipped["files"]] == marked[:2:-1]


def test_presign_says_where_to_upload(server):
    for body in ({}, {"json": {}}, {"json": {"bucket": "b"}}):
        assert server.call("POST", "/files/presign-upload", **body).json() == {
            "upload_url": "/api/v1/files",
            "method": "POST",
            "expires_in": 900,
        }


def test_files_outlive_a_restart(tmp_path):
    with serving(tmp_path / "data") as server:
        shown = upload(server, b"x" * 10_000, name="kept")
        server.restart()
        assert server.get(f"/files/{shown['id']}").content == b"x" * 10_000
        assert server.get("/files").json()["files"][0]["name"] == "kept"


@pytest.mark.parametrize("change", [b"y", b""])
def test_damaged_content_is_reported_and_never_served(tmp_path, change):
    with serving(tmp_path / "data") as server:
        shown = upload(server, b"x" * 10_000)
        assert server.get(f"/files/{shown['id']}").ok
        place = server.data_dir / "files" / shown["sha256"][:2] / shown["sha256"]
        place.write_bytes(change + place.read_bytes()[1:])
        answer = server.get(f"/files/{shown['id']}")
        assert (answer.status_code, answer.json()["error"]) == (500, "CORRUPT")
        place.unlink()
        assert server.get(f"/files/{shown['id']}").json()["error"] == "CORRUPT"


def test_a_reader_that_goes_away_gives_its_file_back(server):
    shown = upload(server, os.urandom(8 * MB))

    def opened():
        return any(shown["sha256"] in link for link in server.open_files())

    with requests.get(f"{server.url}/api/v1/files/{shown['id']}", stream=True, timeout=10) as answer:
        assert len(next(answer.iter_content(1000))) == 1000
        assert opened()
    eventually(lambda: not opened())
    assert "Traceback" not in server.output()
