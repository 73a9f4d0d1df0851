"""The registries without their doors: revisions, races, limits, and what counts as a secret."""

from uuid import uuid4

import gevent
import pytest

from spear.adapters.system import SystemIds
from spear.domain.deployment import Phase
from spear.domain.secret import check_references, check_url
from spear.errors import Invalid, NotFound, Refused
from spear.events.mapper import payload
from spear.projections.deployments import list_deployments
from spear.projections.mcp_servers import list_mcp_servers
from spear.services import mcp_servers
from spear.services.deployments import Deployments
from spear.services.mcp_servers import McpServers
from tests.core._node import ORIGIN, joined, node

RECORD = {
    "display_name": "", "transport": "stdio", "stdio": {"command": "c", "args": [], "env": {}, "cwd": ""},
    "http": {"url": "", "headers": {}, "auth_ref": ""}, "tool_namespace": "", "allowed_tools": [],
    "approval_policy": {"default_policy": "", "per_tool": {}},
    "budgets": {"tool_timeout_ms": 0, "max_concurrency": 0, "max_tool_output_bytes": 0},
}  # fmt: skip


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


@pytest.fixture
def servers(here):
    return McpServers(here.unit, here.reader)


@pytest.fixture
def deployments(here):
    return Deployments(here.unit, here.reader, ids=SystemIds())


def test_registries_stand_after_a_restart_and_revisions_go_on(tmp_path):
    with node(tmp_path) as before:
        revision, _ = McpServers(before.unit, before.reader).put(ORIGIN, "tools", RECORD)
        listed = list_mcp_servers(before.reader)
    with node(tmp_path) as after:
        assert list_mcp_servers(after.reader) == listed
        assert McpServers(after.unit, after.reader).put(ORIGIN, "tools", RECORD)[0] == revision
        assert McpServers(after.unit, after.reader).delete(ORIGIN, "tools", "unused")[0] > revision


def test_of_many_who_put_one_server_at_once_each_has_a_revision_of_its_own(here, servers):
    told = [gevent.spawn(servers.put, ORIGIN, "t", {**RECORD, "display_name": f"{number}"}) for number in range(10)]
    joined(told, raise_error=True)
    assert len({greenlet.value[0] for greenlet in told}) == 10
    revision, [row] = list_mcp_servers(here.reader)
    assert revision == max(greenlet.value[0] for greenlet in told)
    assert row.record["tool_namespace"] == "mcp.t"


def test_there_is_a_limit_on_servers_and_not_on_changing_them(servers, monkeypatch):
    monkeypatch.setattr(mcp_servers, "MOST", 2)
    for name in ("a", "b"):
        servers.put(ORIGIN, name, RECORD)
    with pytest.raises(Refused, match="2 MCP servers are registered"):
        servers.put(ORIGIN, "c", RECORD)
    servers.put(ORIGIN, "a", {**RECORD, "display_name": "new"})
    servers.delete(ORIGIN, "b", "unused")
    servers.put(ORIGIN, "c", RECORD)


def test_a_report_that_races_with_a_new_wish_is_heard_before_it_or_not_at_all(here, deployments):
    uuid, greenlets = str(uuid4()), []
    ident, revision, _ = deployments.put(ORIGIN, target_node_uuid=uuid, provider="p", model="0", params={})
    for model in range(1, 20):
        greenlets = [gevent.spawn(say, deployments, ident, uuid, revision) for _ in range(3)]
        _, revision, _ = deployments.put(
            ORIGIN, ident, target_node_uuid=uuid, provider="p", model=f"{model}", params={}
        )
        joined(greenlets, raise_error=True)
    about = 0
    for fact in here.log.recorder.query("WHERE topic LIKE 'deployment.%' ORDER BY position"):
        about = fact.position if fact.name == "DeploymentPut" else about
        assert fact.name == "DeploymentPut" or payload(fact).message == f"{about}"


def say(deployments, ident, uuid, revision):
    """What a node says about the wish that it saw."""
    said = {"phase": Phase.READY, "message": f"{revision}", "updated_at_ms": 0}
    return deployments.report(ORIGIN, ident, node_uuid=uuid, observed_revision=revision, **said)


def test_a_deployment_that_moves_and_goes_is_nowhere(here, deployments):
    first, second = str(uuid4()), str(uuid4())
    ident, _, _ = deployments.put(ORIGIN, target_node_uuid=first, provider="p", model="m", params={})
    deployments.put(ORIGIN, ident, target_node_uuid=second, provider="p", model="m", params={})
    assert list_deployments(here.reader, node_uuid=first, limit=9)[1].total == 0
    with pytest.raises(NotFound):
        deployments.delete(ORIGIN, ident, "unused", node_uuid=first)
    deployments.delete(ORIGIN, ident, "unused", node_uuid=second)
    assert list_deployments(here.reader, limit=9)[1].rows == []
    with pytest.raises(NotFound):
        deployments.delete(ORIGIN, ident, "unused")


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "token", "X-Auth-Token", "api_key", "API-Key", "apikey", "AWS_SECRET_ACCESS_KEY", "private_key",
     "Authorization", "Proxy-Authorization", "DB_PASSWORD", "passwd", "Cookie", "GOOGLE_CREDENTIALS"],
)  # fmt: skip
def test_a_secret_is_taken_as_a_reference_alone(name):
    for good in ("", "${ENV:NAME}", "Bearer ${ENV:NAME}", "${ENV:NAME:-}"):
        check_references("env", {name: good})
    for bad in ("hunter2", "${ENV:NAME}hunter2", "Bearer hunter2", "${ENV:NAME:-hunter2}", "${ENV:}", "${env:NAME}"):
        with pytest.raises(Invalid, match=f"env.{name}: got a secret in the clear") as told:
            check_references("env", {name: bad})
        assert "hunter2" not in told.value.message


@pytest.mark.parametrize(
    "name", ["LANG", "MAX_TOKENS", "TOKENIZER", "TOKEN_FILE", "secret_path", "KEYBOARD", "model_url"]
)
def test_what_is_no_secret_is_taken_as_it_is(name):
    check_references("env", {name: "anything"})


@pytest.mark.parametrize("url", ["http://h", "https://h:8080/v1?x=1", "http://[::1]:1/", "https://h/?token=${ENV:T}"])
def test_a_url_without_a_secret_is_taken(url):
    check_url("url", url)


@pytest.mark.parametrize(
    "url", ["", "h", "ftp://h", "http://", "http://h:99999", "http://h:x", "http://[h", "https://me@h", "https://h/?token=t"]
)  # fmt: skip
def test_a_url_that_is_none_or_tells_a_secret_is_refused(url):
    with pytest.raises(Invalid, match="url"):
        check_url("url", url)
