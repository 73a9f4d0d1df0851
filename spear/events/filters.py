"""What a filter chooses: topics from the names of types and nouns, streams from whatever names an aggregate."""

from uuid import UUID

from spear.domain.base import TOPICS
from spear.domain.deployment import Deployment
from spear.domain.mcp_server import McpServer
from spear.domain.node import observations
from spear.domain.object import DEFAULT_BUCKET, Object
from spear.domain.task import Endpoint
from spear.errors import Invalid
from spear.events import mapper  # noqa: F401  every event registers its topic
from spear.protocols.cursor import Filter


def filter_of(types: str, noun: str, ident: str) -> Filter:
    """The filter for types such as `NodeLost,task.TaskCreated`, a noun, an id; raises `Invalid` for what no event could be."""
    nouns = {topic.partition(".")[0] for topic in TOPICS}
    if noun and noun not in nouns:
        raise Invalid.field("noun", noun, f"one of {', '.join(sorted(nouns))}")
    topics = {_topic(part.strip(), noun) for part in types.split(",") if part.strip()}
    return Filter(tuple(sorted(topics)), noun, ident)


def _topic(given: str, noun: str) -> str:
    for topic in TOPICS:
        if given in (topic, topic.partition(".")[2]) and topic.startswith(noun and f"{noun}."):
            return topic
    of_noun = f" of {noun}" if noun else ""
    raise Invalid.field("type", given, f"an event type{of_noun} such as NodeLost or node.NodeLost")


def topics_of(chosen: Filter) -> list[str]:
    """The topics of a filter, none for all; raises `Invalid` for one that this version does not know."""
    unknown = next((topic for topic in chosen.topics if topic not in TOPICS), "")
    of_noun = [topic for topic in TOPICS if topic.startswith(f"{chosen.noun}.")]
    if unknown or (chosen.noun and not of_noun):
        raise Invalid.field("cursor", unknown or chosen.noun, "a cursor over events that this version knows")
    return list(chosen.topics) or of_noun


def streams_of(chosen: Filter) -> list[str]:
    """Every stream that the filter's id may mean, none for an empty one."""
    if not (ident := chosen.id):
        return []
    bucket, slash, key = ident.partition("/")
    named = Object.ident(bucket, key) if slash else Object.ident(DEFAULT_BUCKET, ident)
    registered = (Endpoint.ident(ident.lower()), McpServer.ident(ident), Deployment.ident(ident))
    return [str(found) for found in (*_by_uuid(ident), named, *registered)]


def _by_uuid(ident: str) -> list[UUID]:
    try:
        uuid = UUID(ident)
    except ValueError:
        return []
    return [uuid, observations(uuid)]
