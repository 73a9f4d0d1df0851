"""What the logs of a fleet say became of its executions, and what that breaks of what was promised."""

import json
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from spear.cli._place import find
from spear.events.recorder import ApswRecorder
from tests.chaos._callers import Asked

_ENDS = {
    "ExecutionCompleted": "completed",
    "ExecutionFailed": "failed",
    "ExecutionCancelled": "cancelled",
    "ExecutionTimedOut": "timeout",
}
NOBODY_KNOWS = "nobody knows"


@dataclass
class Life:
    """One execution in one log: `asked_here` or only reported, where it was said to start, how it ended."""

    token: str = ""
    asked_here: bool = False
    started_on: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    text: str = ""
    output_sha256: str = ""

    def take_in(self, name: str, told: Mapping[str, Any]) -> None:
        """The next of its events."""
        if name == "ExecutionRequested":
            self.asked_here = bool(told["input_sha256"])
            self.token = b64decode(told["input_inline"]).decode()
        elif name in ("ExecutionStarted", "ExecutionStartReported"):
            self.started_on.append(told["node_uuid"])
        elif name in (*_ENDS, "ExecutionEndReported"):
            self.ends.append(_ENDS.get(name) or told["status"])
            self.text = str(told.get("error", told.get("reason", "")))
            self.output_sha256 = told.get("output_sha256", "")


Book = dict[str, Life]


def book(data_dir: Path) -> Book:
    """Every execution in the log of this data directory."""
    lives: Book = defaultdict(Life)
    with closing(ApswRecorder(find(data_dir).log, read_only=True)) as recorder:
        for fact in recorder.query("WHERE topic LIKE 'execution.%' ORDER BY position"):
            lives[fact.originator_id].take_in(fact.name, json.loads(fact.state))
    return dict(lives)


def lines(data_dir: Path) -> dict[str, list[str]]:
    """What the agents wrote into their logs here, by execution."""
    found = {}
    for path in data_dir.glob("logs/tasks/*/*/*.log"):
        read = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.stem] = [line["message"] for line in read if "message" in line]
    return found


@dataclass
class Books:
    """The logs of an SMS and of its nodes by name, the nodes' uuids, and the lines that the agents wrote at each."""

    sms: Book
    nodes: Mapping[str, Book]
    uuids: Mapping[str, str]
    lines: Mapping[str, Mapping[str, list[str]]]

    def complaints(self, asked: Sequence[Asked]) -> Iterator[str]:
        """Every promise that is broken."""
        for name, lives in {"sms": self.sms, **self.nodes}.items():
            yield from _each_ends_once(name, lives)
        yield from self._each_began_once()
        yield from self._agents_did_what_the_logs_say()
        yield from self._all_tell_the_same()
        for one in asked:
            yield from self._was_kept(one)

    def _each_began_once(self) -> Iterator[str]:
        begun = Counter(ident for name, lives in self.nodes.items() for ident in self._own(name, lives))
        yield from (f"{ident} began {count} times" for ident, count in begun.items() if count > 1)

    def _own(self, name: str, lives: Book) -> Iterator[str]:
        """The executions that a node ran itself, each as often as it began there."""
        for ident, life in lives.items():
            yield from (ident for uuid in life.started_on if uuid == self.uuids[name])

    def _agents_did_what_the_logs_say(self) -> Iterator[str]:
        did = Counter(token for name in self.nodes for said in self.lines[name].values() for token in said)
        yield from (f"an agent did {token} {count} times" for token, count in did.items() if count > 1)
        for name, lives in self.nodes.items():
            for ident in set(self._own(name, lives)):
                done, life = self.lines[name].get(ident, []), lives[ident]
                if life.ends == ["completed"] and done != [life.token]:
                    yield f"{ident} completed on {name}, and its agent did {done} of {life.token}"
                if done and done != self.lines["sms"].get(ident, []):
                    yield f"{ident} wrote {done} on {name}, the SMS has {self.lines['sms'].get(ident)}"

    def _all_tell_the_same(self) -> Iterator[str]:
        for name, lives in self.nodes.items():
            ran = set(self._own(name, lives))
            for ident, life in lives.items():
                others = {"sms": self.sms, **self.nodes} if ident in ran else {"sms": self.sms}
                for other, told in others.items():
                    yield from self._same(ident, (name, life), (other, told.get(ident)))

    def _same(self, ident: str, here: tuple[str, Life], there: tuple[str, Life | None]) -> Iterator[str]:
        (name, life), (other, told) = here, there
        if told is None:
            if other == "sms":
                yield f"{ident} {life.ends} on {name} is not known at the SMS"
        elif told.ends != life.ends and not any(NOBODY_KNOWS in one.text for one in (life, told)):
            yield f"{ident} is {life.ends} on {name} ({life.text}), {told.ends} on {other} ({told.text})"

    def _was_kept(self, one: Asked) -> Iterator[str]:
        """What a client was told."""
        lives = {"sms": self.sms, **self.nodes}[one.door]
        if one.wrong:
            yield f"{one}: answered wrongly"
        mine = {ident for ident, life in lives.items() if life.asked_here and life.token == one.token}
        if len(mine) > 1:
            yield f"{one}: is {mine}"
        if mine and one.refused and not one.accepted and not one.doubtful:
            yield f"{one}: was refused, and is {mine}"
        if one.accepted and not one.wrong and mine != {one.execution_id}:
            yield f"{one}: was accepted, and is {mine}"
        elif one.accepted and one.status:
            life = lives[one.execution_id]
            good = sha256(one.token.encode()).hexdigest()
            if life.ends != [one.status] or (one.status == "completed" and life.output_sha256 != good):
                yield f"{one}: is {life}"
            if one.status == "completed" and one.output not in (one.token, None):
                yield f"{one}: another output"


def _each_ends_once(name: str, lives: Book) -> Iterator[str]:
    for ident, life in lives.items():
        if len(life.ends) != 1 or len(life.started_on) > 1:
            yield f"{ident} in the log of {name}: {life}"
