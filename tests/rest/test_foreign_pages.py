"""Pages of foreign names and origins get nowhere, even on loopback; programs and our own pages do."""

from collections.abc import Iterator

import pytest
import requests

from tests.rest.conftest import NODE, done, refused
from tests.server import Server

CONFIG = '[http]\nhosts = "spear.example"\norigins = "https://console.example"\n'


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that goes by a name and trusts one origin."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "config.toml").write_text(CONFIG)
    with Server(folder / "data", "--config", str(folder / "config.toml")) as running:
        yield running


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST.", "127.9.9.9"]
)
def test_loopback_by_any_of_its_names_is_answered(server: Server, host: str) -> None:
    done(server.get("/api/v1/nodes", headers={"Host": host}))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "0.0.0.0", "", "a b", "[::2]", "::1"],
)
@pytest.mark.parametrize("path", ["/api/v1/nodes", "/health", "/api/openapi.json", "/no/such/route"])
def test_a_foreign_host_is_refused(server: Server, path: str, host: str) -> None:
    answer = server.get(path, headers={"Host": host})
    refused(answer, 403, "FOREIGN_HOST", "Host: got ", "http.hosts")
    assert answer.headers["X-Request-Id"]
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_foreign_host_calls_no_agent(server: Server, ran: dict[str, object]) -> None:
    server.register("hello", endpoint="guarded")
    assert server.post("/e/guarded").status_code == 200
    refused(server.post("/e/guarded", headers={"Host": "evil.example"}), 403, "FOREIGN_HOST")
    refused(server.post("/e/guarded", headers={"Origin": "http://evil.example"}), 403, "FOREIGN_ORIGIN")


def test_the_admin_refuses_a_foreign_host_and_shows_its_own_pages(server: Server) -> None:
    page = f"http://127.0.0.1:{server.admin_port}/admin"
    assert requests.get(page, timeout=30).status_code == 200
    refused(requests.get(page, headers={"Host": "evil.example"}, timeout=30), 403, "FOREIGN_HOST")


def test_a_configured_name_is_answered(named: Server) -> None:
    for host in ("spear.example", "spear.example:443", "Spear.Example"):
        done(named.get("/api/v1/nodes", headers={"Host": host}))
    refused(named.get("/api/v1/nodes", headers={"Host": "a.spear.example"}), 403, "FOREIGN_HOST")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost", "http://localhost:1", "http://"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_page_of_a_foreign_origin_changes_nothing(server: Server, method: str, origin: str) -> None:
    answer = server.call(method, "/api/v1/nodes", json=NODE, headers={"Origin": origin})
    refused(answer, 403, "FOREIGN_ORIGIN", "Origin: got ", "http.origins")


def test_not_even_with_a_token(server: Server) -> None:
    token = done(server.post("/api/v1/tokens", json={"name": "page", "role": "admin"}), 201)["token"]
    headers = {"Origin": "http://evil.example", "Authorization": f"Bearer {token}"}
    refused(server.post("/api/v1/nodes", json=NODE, headers=headers), 403, "FOREIGN_ORIGIN")
    assert server.get("/api/v1/nodes", headers=headers).headers["Access-Control-Allow-Origin"] == "*"


def test_our_own_page_and_a_configured_origin_may_change_things(named: Server) -> None:
    for origin in (named.url, "https://console.example", "https://Console.Example"):
        answer = named.post("/api/v1/nodes", json=NODE, headers={"Origin": origin})
        done(answer, 201)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_browser_does_not_show_a_foreign_page_what_an_open_door_answers(server: Server) -> None:
    foreign = server.get("/api/v1/nodes", headers={"Origin": "http://evil.example"})
    done(foreign)
    assert "Access-Control-Allow-Origin" not in foreign.headers
    for known in ({}, {"Origin": server.url}):
        assert server.get("/api/v1/nodes", headers=known).headers["Access-Control-Allow-Origin"] == "*"
