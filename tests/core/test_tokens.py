"""Tokens: one function says who asks; a name has one token, and a node's token one node."""

import gevent
import pytest

from spear.adapters.system import SystemIds, new_secret
from spear.domain.token import Token, TokenRole
from spear.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from spear.protocols import passes
from spear.services.nodes import Nodes
from spear.services.tokens import ANYBODY, Tokens
from tests.core._node import ORIGIN, node

PLACE = {"ip_address": "10.0.0.1", "port": 1, "http_port": 2, "metadata": {}}


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


@pytest.fixture
def tokens(here):
    return Tokens(here.unit, here.reader, secret=new_secret)


def brought(tokens, token, *, open_door=False):
    """Who brings this token."""
    return tokens.admit(f"Bearer {token}", open_door=open_door)


def test_the_holder_of_a_token_is_known_by_its_name_and_role_at_any_door(tokens):
    token, _ = tokens.issue(ORIGIN, "alice", TokenRole.CLIENT)
    for open_door in (True, False):
        caller = brought(tokens, token, open_door=open_door)
        assert (caller.name, caller.role, caller.actor("grpc")) == ("alice", TokenRole.CLIENT, "grpc:alice")


def test_without_a_token_an_open_door_lets_anybody_in_and_a_closed_one_nobody(tokens):
    assert tokens.admit("", open_door=True) is ANYBODY
    assert ANYBODY.actor("rest") == "rest"
    with pytest.raises(Unauthenticated):
        tokens.admit("", open_door=False)


def test_an_error_never_repeats_what_was_sent(tokens):
    for sent in ("Bearer hunter2", "hunter2", "Basic hunter2"):
        with pytest.raises(Unauthenticated) as caught:
            tokens.admit(sent, open_door=True)
        assert "hunter2" not in caught.value.message + str(caught.value.details)


def test_a_secret_is_good_only_if_a_comparison_in_constant_time_says_so(here, tokens, monkeypatch):
    token, _ = tokens.issue(ORIGIN, "alice", TokenRole.CLIENT)
    key, shown = here.passes.key_of("n1"), f"Bearer {here.passes.issue('n1', '')}"
    assert brought(tokens, token).name == "alice" and passes.read(key, shown)
    for module in ("services.tokens", "protocols.passes"):
        monkeypatch.setattr(f"spear.{module}.compare_digest", lambda *_: False)
    with pytest.raises(Unauthenticated):
        brought(tokens, token)
    assert passes.read(key, shown) is None


def test_a_name_has_one_token_until_it_is_revoked(tokens):
    first, _ = tokens.issue(ORIGIN, "alice", TokenRole.CLIENT)
    with pytest.raises(AlreadyExists):
        tokens.issue(ORIGIN, "alice", TokenRole.ADMIN)
    tokens.revoke(ORIGIN, "alice", "lost")
    with pytest.raises(NotFound):
        tokens.revoke(ORIGIN, "alice", "lost")
    second, _ = tokens.issue(ORIGIN, "alice", TokenRole.ADMIN)
    assert brought(tokens, second).role is TokenRole.ADMIN
    with pytest.raises(Unauthenticated):
        brought(tokens, first)


def test_of_many_who_want_a_name_at_once_one_gets_it(here, tokens):
    wanted = [here.spawn(tokens.issue, ORIGIN, "alice", TokenRole.CLIENT) for _ in range(10)]
    gevent.joinall(wanted)
    assert sum(one.successful() for one in wanted) == 1
    assert here.recorded()["TokenIssued"] == 1


def test_a_node_that_registers_twice_at_once_with_one_token_is_registered_once(here, tokens):
    nodes = Nodes(here.unit, here.reader, ids=SystemIds())
    token, _ = tokens.issue(ORIGIN, "n1", TokenRole.NODE)
    caller = brought(tokens, token)

    def register():
        nodes.register(ORIGIN, **PLACE, token=tokens.of_new_node(caller))

    tries = [here.spawn(register) for _ in range(10)]
    gevent.joinall(tries)
    assert sum(one.successful() for one in tries) == 1
    assert all(isinstance(one.exception, Conflict | Forbidden) for one in tries if not one.successful())
    assert (here.recorded()["NodeRegistered"], here.recorded()["TokenBound"]) == (1, 1)


def test_of_tokens_that_race_for_one_uuid_one_becomes_that_node(here, tokens):
    nodes, uuid = Nodes(here.unit, here.reader, ids=SystemIds()), str(SystemIds().new())
    callers = [brought(tokens, tokens.issue(ORIGIN, f"n{number}", TokenRole.NODE)[0]) for number in range(10)]

    def register(caller):
        nodes.register(ORIGIN, uuid=uuid, **PLACE, token=tokens.of_new_node(caller, uuid))

    tries = [here.spawn(register, caller) for caller in callers]
    gevent.joinall(tries)
    assert sum(one.successful() for one in tries) == 1
    assert all(isinstance(one.exception, Forbidden) for one in tries if not one.successful())
    assert [row.node_uuid for row in tokens.list()].count(uuid) == 1


def test_what_lasts_ends_with_its_token_and_nothing_else_does(tokens):
    callers = {name: brought(tokens, tokens.issue(ORIGIN, name, TokenRole.CLIENT)[0]) for name in ("a", "b", "c")}
    ended = []
    with (
        tokens.while_good(callers["a"], lambda error: ended.append(("a", error.code))),
        tokens.while_good(callers["b"], lambda error: ended.append(("b", error.code))),
        tokens.while_good(ANYBODY, lambda error: ended.append(("anybody", error.code))),
    ):
        with tokens.while_good(callers["c"], lambda error: ended.append(("c", error.code))):
            tokens.end_revoked()
        tokens.revoke(ORIGIN, "c", "over")
        tokens.revoke(ORIGIN, "a", "lost")
        tokens.issue(ORIGIN, "a", TokenRole.CLIENT)  # the name again, another token
        for _ in range(2):
            tokens.end_revoked()
    assert ended == [("a", "UNAUTHENTICATED")]
    with pytest.raises(Unauthenticated), tokens.while_good(callers["a"], print):
        raise AssertionError("it was revoked before")


def test_a_role_is_enough_or_it_is_not(tokens):
    caller = brought(tokens, tokens.issue(ORIGIN, "c", TokenRole.CLIENT)[0])
    caller.check({TokenRole.CLIENT}, "this")
    with pytest.raises(Forbidden, match="this is not for role client"):
        caller.check({TokenRole.OPERATOR}, "this")
    brought(tokens, tokens.issue(ORIGIN, "a", TokenRole.ADMIN)[0]).check((), "anything")


def test_only_a_nodes_token_is_bound_and_binding_again_records_nothing():
    token = Token.blank(Token.ident("n"))
    token.issue("n", TokenRole.NODE, "hash")
    for _ in range(2):
        token.bind("u")
    assert [type(event).__name__ for event in token.pending_events] == ["TokenIssued", "TokenBound"]
    client = Token.blank(Token.ident("c"))
    client.issue("c", TokenRole.CLIENT, "hash")
    with pytest.raises(Invalid):
        client.bind("u")


def test_every_token_is_listed_however_many_there_are(tokens):
    for number in range(3):
        tokens.issue(ORIGIN, f"t{number}", TokenRole.CLIENT)
    tokens.revoke(ORIGIN, "t1", "lost")
    assert [(row.name, bool(row.sha256)) for row in tokens.list()] == [("t0", True), ("t1", False), ("t2", True)]
    assert tokens.any()
