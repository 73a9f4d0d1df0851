"""A decision about where work should run, as it is kept for whoever asks why."""

from enum import StrEnum
from typing import TypedDict

from spear.domain.base import Aggregate, event_topic


class Rule(StrEnum):
    """What settled where an execution runs, before any score."""

    LOCAL = "local"
    PINNED = "pinned"
    BEST = "best"


SMS_DECISION = "sms:"  # before the id of a decision that the SMS made, and explains


class CandidateFacts(TypedDict):
    """A node that may run the work, its score and what the score was made of; `slots` 0 means it does not say."""

    node_uuid: str
    score: float
    reported: bool
    cpu_percent: float
    memory_percent: float
    disk_percent: float
    load_1m: float
    failures: int
    in_flight: int
    slots: int


class RefusedFacts(TypedDict):
    """A node that may not, and why: a word for programs and a text for people."""

    node_uuid: str
    reason: str
    text: str


class DecisionFacts(TypedDict):
    """What a policy said: the first of the candidates and of the refused nodes, and how many there were of each."""

    policy: str
    policy_version: int
    nodes: int
    fitting: int
    candidates: list[CandidateFacts]
    refused: list[RefusedFacts]
    refused_counts: dict[str, int]


@event_topic("placement.InvocationPlaced")
class InvocationPlaced(Aggregate.Event):
    """Somebody asked where an invocation should run; its stream is the decision, named by its id."""

    request_id: str
    task_id: str
    labels: dict[str, str]
    decision: DecisionFacts
