"""What our aggregates record is what the library would have recorded, for every event; and so are its complaints."""

from copy import copy
from dataclasses import FrozenInstanceError, fields
from inspect import signature
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from eventsourcing.domain import (
    BoundCommandMethodDecorator,
    MetaAggregate,
    _created_event_classes,
    decorated_func_callers,
)

from spear.domain.backend import BackendsReported
from spear.domain.base import _CREATORS, TOPICS, named
from spear.domain.deployment import Deployment
from spear.domain.execution import Execution, ModelCalled
from spear.domain.file import File
from spear.domain.holding import Holding
from spear.domain.instance import Instance
from spear.domain.mcp_server import McpServer
from spear.domain.node import Heartbeat, Node, OutcomeReported, ResourcesReported
from spear.domain.object import Object
from spear.domain.placement import InvocationPlaced
from spear.domain.task import Endpoint, Task, TaskResultReported
from spear.domain.token import Token
from spear.events.mapper import domain_event, pend
from spear.events.record import Recorded

ID = UUID(int=7)
AGGREGATES = [Deployment, Endpoint, Execution, File, Holding, Instance, McpServer, Node, Object, Task, Token]
CREATED = [kind for kind in AGGREGATES if kind in _CREATORS]
OBSERVED = {
    BackendsReported,
    Heartbeat,
    InvocationPlaced,
    ModelCalled,
    OutcomeReported,
    ResourcesReported,
    TaskResultReported,
}  # not decorated: made by calling the event class
COMMANDS = [
    pytest.param(kind, decorator, id=event.TOPIC)
    for decorator, event in decorated_func_callers.items()
    for kind in AGGREGATES
    if event in vars(kind).values()
]


def arguments(effect):
    """A value for each parameter that no other has; counts are numbers."""
    parameters = list(signature(effect).parameters.values())[1:]
    return {p.name: number if p.annotation is int else [p.name] for number, p in enumerate(parameters, 1)}


def creation(kind):
    return arguments(kind.__init__) | {"id": ID}


def ours(kind, decorator):
    """The method as our code calls it, of an aggregate that has no event yet."""
    aggregate = kind.blank(ID)
    return aggregate, getattr(aggregate, decorator.decorated_func.__name__)


def theirs(kind, decorator):
    """The method as the library calls it."""
    aggregate = kind.blank(ID)
    return aggregate, BoundCommandMethodDecorator(decorator, aggregate)


def assert_same(aggregate, other):
    """The same state and the same events, down to the order of the fields, which is that of the stored bytes."""
    assert len(aggregate.pending_events) > 0
    assert aggregate == other
    for event, wanted in zip(aggregate.pending_events, other.pending_events, strict=True):
        assert type(event) is type(wanted)
        assert list(vars(event).items()) == list(vars(wanted).items())
        assert pend(event) == pend(wanted)


def complaint(call, *args, **kwargs):
    with pytest.raises(TypeError) as raised:
        call(*args, **kwargs)
    return str(raised.value)


def test_every_event_of_the_domain_is_compared():
    compared = {decorated_func_callers[case.values[1]] for case in COMMANDS}
    compared |= {event for kind in CREATED for event in _created_event_classes[kind]}
    assert compared | OBSERVED == {event for event in TOPICS.values() if event.__module__.startswith("spear.")}
    assert compared.isdisjoint(OBSERVED)


@pytest.mark.parametrize(("kind", "decorator"), COMMANDS)
def test_a_method_records_and_does_what_the_library_would(kind, decorator):
    given = arguments(decorator.decorated_func)
    aggregate, method = ours(kind, decorator)
    other, librarys = theirs(kind, decorator)
    assert not isinstance(method, BoundCommandMethodDecorator)
    for _ in range(2):
        method(*given.values())
        librarys(*given.values())
    assert_same(aggregate, other)
    again = kind.blank(ID)
    for event in aggregate.pending_events:
        p = pend(event)
        domain_event(Recorded(1, p.originator_id, p.version, p.topic, 0, "", 0, "", p.state, b"")).mutate(again)
    aggregate.collect_events()
    assert again == aggregate


@pytest.mark.parametrize(("kind", "decorator"), COMMANDS)
def test_a_method_takes_keywords_in_any_order(kind, decorator):
    given = arguments(decorator.decorated_func)
    aggregate, method = ours(kind, decorator)
    method(**dict(reversed(given.items())))
    other, librarys = theirs(kind, decorator)
    librarys(*given.values())
    assert_same(aggregate, other)


@pytest.mark.parametrize(("kind", "decorator"), COMMANDS)
def test_wrong_arguments_of_a_method_are_refused_in_the_librarys_words(kind, decorator):
    given = list(arguments(decorator.decorated_func).values())
    aggregate, method = ours(kind, decorator)
    before = vars(kind.blank(ID))
    _, librarys = theirs(kind, decorator)
    assert complaint(method, *given, "surplus") == complaint(librarys, *given, "surplus")
    assert complaint(method, *given, surplus=1) == complaint(librarys, *given, surplus=1)
    if given:
        assert complaint(method, *given[1:]) == complaint(librarys, *given[1:])
    assert vars(aggregate) == before


@pytest.mark.parametrize("kind", sorted(TOPICS.values(), key=lambda kind: kind.TOPIC), ids=lambda kind: kind.TOPIC)
def test_an_event_is_a_frozen_value_of_its_fields(kind):
    assert list(signature(kind).parameters)[1:] == [field.name for field in fields(kind)]  # self is the library's
    event = kind(**{field.name: ID if field.name == "originator_id" else field.name for field in fields(kind)})
    assert event == copy(event)
    assert hash(event) == hash(copy(event))
    assert repr(event).startswith(f"{kind.__qualname__}(originator_id={ID!r}, ")
    for field in fields(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(event, field.name, "another")
        other = copy(event)
        vars(other)[field.name] = "another"
        assert event != other


def test_an_effect_that_fails_records_nothing():
    aggregate = Object.blank(ID)
    with pytest.raises(TypeError):
        aggregate._ref_added("many")
    assert aggregate == Object.blank(ID)


@pytest.mark.parametrize("kind", CREATED)
@pytest.mark.parametrize("order", [iter, reversed])
def test_an_aggregate_begins_as_the_library_would_begin_it(kind, order):
    given = dict(order(creation(kind).items()))
    aggregate = kind(**given)
    assert_same(aggregate, MetaAggregate.__call__(kind, **given))
    p = pend(aggregate.pending_events[0])
    fact = Recorded(1, p.originator_id, p.version, p.topic, 0, "", 0, "", p.state, b"")
    aggregate.collect_events()
    assert domain_event(fact).mutate(None) == aggregate


@pytest.mark.parametrize("kind", CREATED)
def test_an_aggregate_takes_positions_too(kind):
    given = creation(kind)
    assert_same(kind(*given.values()), kind(**given))


@pytest.mark.parametrize("kind", CREATED)
def test_wrong_arguments_of_a_first_event_are_refused_in_the_librarys_words(kind):
    given = creation(kind)
    for wrong in (
        {**given, "surplus": 1},
        {**given, "id": "no id"},
        {name: value for name, value in given.items() if name != "id"},
        dict(list(given.items())[:-1]),
        {**dict(list(given.items())[:-1]), "surplus": 1},
    ):
        assert complaint(kind, **wrong) == complaint(MetaAggregate.__call__, kind, **wrong)


def test_a_name_is_the_same_id_as_ever():
    assert named("object", "b/ä") == uuid5(NAMESPACE_OID, "spear/object/b/ä")
