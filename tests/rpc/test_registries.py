"""The registries over gRPC: MCP servers, model backends, model deployments; what is kept, refused, told and watched."""

from itertools import islice

import grpc
import pytest

from spear.adapters.rpc.generated.sms import backend_registry_pb2 as backend_pb
from spear.adapters.rpc.generated.sms import mcp_registry_pb2 as mcp_pb
from spear.adapters.rpc.generated.sms import model_deployment_registry_pb2 as deployment_pb
from tests.rpc._wire import refused
from tests.server import Server, events_of

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
STALE = grpc.StatusCode.FAILED_PRECONDITION
NODE = {"ip_address": "127.0.0.9", "port": 50052}
STDIO = {"transport": mcp_pb.MCP_TRANSPORT_STDIO, "stdio": {"command": "npx", "args": ["-y", "tools"]}}
HTTP = {"transport": mcp_pb.MCP_TRANSPORT_STREAMABLE_HTTP, "http": {"url": "https://tools.example/mcp"}}
BACKEND = {
    "name": "gpt", "kind": "openai_chat_completion", "operations": ["chat_completions"], "features": ["supports_tools"],
    "transports": ["http"], "weight": 100, "priority": -1, "base_url": "https://api.example/v1",
    "status": backend_pb.BACKEND_STATUS_AVAILABLE, "provider": "openai", "model": "gpt-4o-mini",
    "hosting": backend_pb.BACKEND_HOSTING_REMOTE,
}  # fmt: skip
READY, FAILED, PENDING = (
    getattr(deployment_pb, f"MODEL_DEPLOYMENT_PHASE_{name}") for name in ("READY", "FAILED", "PENDING")
)


@pytest.fixture
def put(mcp, fresh):
    """Registers a server of the test's own name; the revision."""
    return lambda **record: mcp.UpsertMcpServer(record={"server_id": fresh, **STDIO, **record}).revision


@pytest.fixture
def node(nodes) -> str:
    return nodes.RegisterNode(node=NODE).node_uuid


@pytest.fixture
def wish(deployments, node):
    """Wishes for a model on the test's own node."""

    def ask(deployment_id="", status=None, **spec):
        spec = {"target_node_uuid": node, "provider": "llamacpp", "model": "tiny", **spec}
        return deployments.UpsertModelDeployment(
            record={"deployment_id": deployment_id, "spec": spec, "status": status}
        )

    return ask


@pytest.fixture
def wishes(deployments, node):
    """What is wished for on the test's own node."""
    return lambda **query: list(deployments.ListModelDeployments(target_node_uuid=node, **query).records)


def listed(mcp, server_id):
    return next((server for server in mcp.ListMcpServers().servers if server.server_id == server_id), None)


def reported(backends, node, revision, *, at=0, **change):
    """A node's report of one backend; the answer."""
    snapshot = {"node_uuid": node, "revision": revision, "reported_at_ms": at, "backends": [{**BACKEND, **change}]}
    return backends.ReportNodeBackends(snapshot=snapshot)


def kept(backends, node):
    return backends.GetNodeBackends(node_uuid=node).snapshot


def test_a_server_of_tools_is_shown_as_it_was_put(mcp, fresh, put):
    given = {
        "display_name": "Tools", "allowed_tools": ["read_*"], "stdio": {
            "command": "npx", "args": ["-y", "tools"], "cwd": "/srv", "env": {"LANG": "C", "API_KEY": "${ENV:KEY:-}"}},
        "http": {"url": "http://localhost:1", "headers": {"Authorization": "Bearer ${ENV:T}"}, "auth_ref": "tools"},
        "approval_policy": {"default_policy": "ask", "per_tool": {"rm": "never"}}, "budgets": {"tool_timeout_ms": 5000},
    }  # fmt: skip
    revision, before = put(**given), mcp.ListMcpServers().revision
    shown = listed(mcp, fresh)
    assert revision == before and shown.updated_at_ms > 0
    shown.ClearField("updated_at_ms")
    assert shown == mcp_pb.McpServerRecord(server_id=fresh, **{**STDIO, **given}, tool_namespace=f"mcp.{fresh}")


def test_putting_what_is_there_changes_nothing_and_what_is_gone_may_come_back(server: Server, mcp, fresh, put):
    first = put()
    assert put() == first
    assert put(display_name="new") > first
    mcp.DeleteMcpServer(server_id=fresh)
    assert listed(mcp, fresh) is None
    put()
    assert listed(mcp, fresh).display_name == ""
    history = [
        e["type"] for e in events_of(server, ["McpServerPut", "McpServerDeleted"], noun="mcp_server", ident=fresh)
    ]
    assert history == ["McpServerPut", "McpServerPut", "McpServerDeleted", "McpServerPut"]


def test_an_absent_part_of_a_server_is_absent(mcp, fresh, put):
    put()
    shown = listed(mcp, fresh)
    assert [shown.HasField(name) for name in ("stdio", "http", "approval_policy", "budgets")] == [True] + [False] * 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"server_id": ""}, "server_id"),
        ({"server_id": "a/b"}, "server_id"),
        ({"transport": 0}, "transport"),
        ({"transport": 3}, "transport"),
        ({"stdio": {"command": " "}}, "stdio.command"),
        ({**HTTP, "http": {}}, "http.url"),
        ({**HTTP, "http": {"url": "ftp://x"}}, "http.url"),
        ({**HTTP, "http": {"url": "http://[bad"}}, "http.url"),
        ({"stdio": {"command": "x", "args": ["\x00"]}}, "stdio.args"),
        ({"budgets": {"max_concurrency": 2**64 - 1}}, "budgets.max_concurrency"),
        ({"allowed_tools": ["x"] * 257}, "allowed_tools"),
    ],
)
def test_a_bad_server_is_refused_by_its_field(mcp, fresh, put, change, words):
    with refused(INVALID, words):
        put(**change)
    assert listed(mcp, fresh) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stdio": {"command": "x", "env": {"GITHUB_TOKEN": "hunter2"}}}, "stdio.env.GITHUB_TOKEN"),
        ({"stdio": {"command": "x", "env": {"api_key": "${ENV:K:-hunter2}"}}}, "stdio.env.api_key"),
        ({**HTTP, "http": {"url": "https://x", "headers": {"Authorization": "Bearer hunter2"}}}, "http.headers"),
        ({**HTTP, "http": {"url": "https://me:hunter2@x"}}, "http.url"),
        ({**HTTP, "http": {"url": "https://x/?api_key=hunter2"}}, "http.url"),
    ],
)
def test_a_secret_in_the_clear_is_refused_and_stands_nowhere(server: Server, put, change, field):
    with refused(INVALID, field, "in the clear"):
        put(**change)
    assert "hunter2" not in server.output()
    assert not any("hunter2" in str(event) for event in events_of(server, ["McpServerPut"]))


def test_what_only_looks_like_a_secret_is_kept(mcp, fresh, put):
    env = {"MAX_TOKENS": "4096", "TOKENIZER": "bpe", "API_TOKEN_FILE": "/run/token"}
    put(stdio={"command": "x", "env": env})
    assert listed(mcp, fresh).stdio.env == env


def test_what_is_missing_or_unknown_is_named(mcp, backends, deployments, fresh, node):
    with refused(INVALID, "record: missing"):
        mcp.UpsertMcpServer()
    with refused(NOT_FOUND, fresh):
        mcp.DeleteMcpServer(server_id=fresh)
    with refused(INVALID, "snapshot: missing"):
        backends.ReportNodeBackends()
    with refused(INVALID, "node_uuid"):
        backends.ReportNodeBackends(snapshot={})
    for uuid in (fresh, "nobody"):
        with refused(NOT_FOUND, "node"):
            backends.ReportNodeBackends(snapshot={"node_uuid": uuid})
        assert not backends.GetNodeBackends(node_uuid=uuid).found
    with refused(INVALID, "record: missing"):
        deployments.UpsertModelDeployment()
    with refused(INVALID, "spec: missing"):
        deployments.UpsertModelDeployment(record={})
    with refused(NOT_FOUND, fresh):
        deployments.DeleteModelDeployment(deployment_id=fresh)
    with refused(INVALID, "status: missing"):
        deployments.ReportModelDeploymentStatus(deployment_id=fresh, node_uuid=node)
    with refused(NOT_FOUND, fresh):
        deployments.ReportModelDeploymentStatus(deployment_id=fresh, node_uuid=node, status={"phase": READY})
    with refused(INVALID, "target_node_uuid"):
        next(deployments.WatchModelDeployments())


def test_a_watch_tells_what_changed_after_a_list_and_what_changes_now(mcp, fresh):
    since = mcp.ListMcpServers().revision
    one, two = f"{fresh}-1", f"{fresh}-2"
    for name in (one, two):
        mcp.UpsertMcpServer(record={"server_id": name, **STDIO})
    last = mcp.DeleteMcpServer(server_id=one).revision
    stream = mcp.WatchMcpServers(since_revision=since)
    past = next(stream).event
    assert (past.revision, list(past.upserts), list(past.deletes)) == (last, [two], [one])
    now = mcp.DeleteMcpServer(server_id=two).revision
    assert next(stream).event == mcp_pb.McpRegistryEvent(revision=now, deletes=[two])
    stream.cancel()


def test_a_revision_that_was_never_reached_is_refused_so_that_the_watcher_lists_anew(mcp, deployments, node):
    for watching in (
        mcp.WatchMcpServers(since_revision=2**60),
        deployments.WatchModelDeployments(since_revision=2**60, target_node_uuid=node),
    ):
        with refused(STALE, "since_revision", "resync required"):
            next(watching)


def test_a_nodes_backends_are_shown_as_it_reported_them(backends, node):
    answer = reported(backends, node, 1, at=7)
    assert (answer.success, answer.accepted_revision) == (True, 1)
    found = kept(backends, node)
    assert found == backend_pb.NodeBackendSnapshot(node_uuid=node, revision=1, reported_at_ms=7, backends=[BACKEND])
    assert found in backends.ListNodeBackendSnapshots().snapshots


def test_a_backend_without_a_status_is_unavailable_without_a_kind_unknown_and_without_a_name_none(backends, node):
    nameless, bare = {**BACKEND, "name": " "}, {"name": "bare"}
    backends.ReportNodeBackends(snapshot={"node_uuid": node, "backends": [nameless, bare]})
    (found,) = kept(backends, node).backends
    assert (found.name, found.kind, found.status_reason) == ("bare", "unknown", "unspecified")
    assert found.status == backend_pb.BACKEND_STATUS_UNAVAILABLE
    assert kept(backends, node).reported_at_ms > 0


def test_a_late_report_changes_nothing_and_a_node_that_counts_anew_is_heard_at_once(backends, node):
    reported(backends, node, 9, at=1000, model="new")
    assert reported(backends, node, 8, at=999, model="old").accepted_revision == 9
    assert kept(backends, node).backends[0].model == "new"
    assert reported(backends, node, 1, model="after a restart").accepted_revision == 1
    assert kept(backends, node).backends[0].model == "after a restart"


def test_a_report_that_says_nothing_new_is_no_event(server: Server, backends, node):
    for revision in (1, 2, 3):
        assert reported(backends, node, revision).accepted_revision == revision
    assert len(events_of(server, ["BackendsReported"], noun="backend", ident=node)) == 1


def test_a_deleted_node_has_no_backends_and_its_history_stays(server: Server, backends, nodes, node):
    reported(backends, node, 1)
    nodes.DeleteNode(uuid=node)
    assert not backends.GetNodeBackends(node_uuid=node).found
    with refused(NOT_FOUND, node):
        reported(backends, node, 2)
    assert len(events_of(server, ["BackendsReported"], noun="backend", ident=node)) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": 7}, "backends.0.status"),
        ({"hosting": 7}, "backends.0.hosting"),
        ({"name": "x" * 257}, "backends.0.name"),
        ({"base_url": "nowhere"}, "backends.0.base_url"),
        ({"base_url": "https://me:pass@x"}, "backends.0.base_url"),
    ],
)
def test_a_bad_backend_is_refused_by_its_field(backends, node, change, field):
    with refused(INVALID, field):
        reported(backends, node, 1, **change)
    assert not backends.GetNodeBackends(node_uuid=node).found


def test_snapshots_come_in_pages_by_node(backends, nodes):
    for _ in range(3):
        reported(backends, nodes.RegisterNode(node=NODE).node_uuid, 1)
    all_ = backends.ListNodeBackendSnapshots(limit=1000)
    uuids = [found.node_uuid for found in all_.snapshots]
    assert uuids == sorted(uuids) and all_.total_count == len(uuids) >= 3
    page = backends.ListNodeBackendSnapshots(limit=1, offset=1)
    assert ([found.node_uuid for found in page.snapshots], page.total_count) == (uuids[1:2], len(uuids))


def test_a_wish_is_pending_until_its_node_says_more(deployments, node, wish, wishes):
    made = wish(params={"threads": "2"})
    (record,) = wishes()
    assert (record.deployment_id, record.revision) == (made.deployment_id, made.revision)
    assert record.spec == deployment_pb.ModelDeploymentSpec(
        target_node_uuid=node, provider="llamacpp", model="tiny", params={"threads": "2"}
    )
    assert record.status.phase == PENDING and record.created_at_ms == record.updated_at_ms > 0
    said = {"deployment_id": made.deployment_id, "node_uuid": node, "observed_revision": record.revision}
    assert deployments.ReportModelDeploymentStatus(**said, status={"phase": READY, "updated_at_ms": 5}).success
    (ready,) = wishes()
    assert (ready.status.phase, ready.status.updated_at_ms, ready.revision) == (READY, 5, record.revision)


def test_a_report_about_an_older_wish_is_not_heard(deployments, node, wish, wishes):
    made = wish()
    changed = wish(made.deployment_id, model="bigger")
    said = {"deployment_id": made.deployment_id, "node_uuid": node, "status": {"phase": READY}}
    assert not deployments.ReportModelDeploymentStatus(**said, observed_revision=made.revision).success
    assert wishes()[0].status.phase == PENDING
    assert deployments.ReportModelDeploymentStatus(**said, observed_revision=changed.revision).success
    assert deployments.ReportModelDeploymentStatus(**said).success
    assert wishes()[0].created_at_ms <= wishes()[0].updated_at_ms


def test_only_the_target_node_may_report(deployments, nodes, wish, wishes):
    other = nodes.RegisterNode(node=NODE).node_uuid
    said = {"deployment_id": wish().deployment_id, "status": {"phase": READY}}
    with refused(grpc.StatusCode.PERMISSION_DENIED, "node_uuid mismatch"):
        deployments.ReportModelDeploymentStatus(**said, node_uuid=other)
    with refused(INVALID, "node_uuid"):
        deployments.ReportModelDeploymentStatus(**said, node_uuid="")
    assert wishes()[0].status.phase == PENDING


def test_the_same_wish_again_is_a_new_one_only_after_it_failed(deployments, node, wish, wishes):
    first = wish("mine-1")
    assert wish("mine-1") == first
    said = {"deployment_id": "mine-1", "node_uuid": node}
    deployments.ReportModelDeploymentStatus(**said, status={"phase": FAILED, "message": "no disk"})
    assert wish("mine-1").revision > first.revision
    assert (wishes()[0].status.phase, wishes()[0].status.message) == (PENDING, "")
    deployments.DeleteModelDeployment(deployment_id="mine-1")
    assert wishes() == []


def test_a_wish_may_say_how_far_it_is(wish, wishes):
    wish(status={"phase": READY, "message": "served elsewhere"})
    assert (wishes()[0].status.phase, wishes()[0].status.message) == (READY, "served elsewhere")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"target_node_uuid": "me"}, "target_node_uuid"),
        ({"target_node_uuid": ""}, "target_node_uuid"),
        ({"provider": " "}, "provider"),
        ({"model": ""}, "model"),
        ({"deployment_id": "no spaces"}, "deployment_id"),
        ({"status": {"phase": 9}}, "status.phase"),
        ({"params": {"hf_token": "hunter2"}}, "params.hf_token"),
    ],
)
def test_a_bad_wish_is_refused_by_its_field(wish, wishes, change, field):
    with refused(INVALID, field):
        wish(**change)
    assert wishes() == []


def test_wishes_are_listed_by_node_and_provider_the_last_put_first(deployments, node, wish, wishes):
    ids = [wish(provider=provider).deployment_id for provider in ("vllm", "llamacpp", "vllm")]
    assert [record.deployment_id for record in wishes()] == ids[::-1]
    found = deployments.ListModelDeployments(target_node_uuid=node.upper(), provider="vllm", limit=1, offset=1)
    assert ([record.deployment_id for record in found.records], found.total_count) == (ids[:1], 2)
    assert found.revision == deployments.ListModelDeployments().revision


def test_a_watch_tells_a_node_of_its_own_wishes_alone(deployments, nodes, node, wish):
    other = nodes.RegisterNode(node=NODE).node_uuid
    since = deployments.ListModelDeployments().revision
    stream = deployments.WatchModelDeployments(target_node_uuid=node, since_revision=since)
    theirs = wish(target_node_uuid=other).deployment_id
    ours = wish().deployment_id
    event = next(stream).event
    assert (list(event.upserts), list(event.deletes)) == ([ours], [])
    said = {"deployment_id": ours, "node_uuid": node}
    deployments.ReportModelDeploymentStatus(**said, status={"phase": READY})
    assert list(next(stream).event.upserts) == [ours]
    deployments.DeleteModelDeployment(deployment_id=theirs)
    moved = wish(ours, target_node_uuid=other).revision
    assert next(stream).event == deployment_pb.ModelDeploymentEvent(revision=moved, deletes=[ours])
    stream.cancel()
    theirs_now = deployments.WatchModelDeployments(target_node_uuid=other, since_revision=since)
    told = [entry for event in islice(theirs_now, 1) for entry in (event.event.upserts, event.event.deletes)]
    theirs_now.cancel()
    assert told == [[ours], [theirs]]
