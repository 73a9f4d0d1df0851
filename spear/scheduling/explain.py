"""Placement in plain words."""

from collections.abc import Sequence

from spear.domain.placement import SMS_DECISION, CandidateFacts, DecisionFacts, Rule
from spear.scheduling.placement import Refused

_RULES = {
    Rule.LOCAL: "took the call and runs it itself",
    Rule.PINNED: "was named by the call or by the task, which may run nowhere else",
    Rule.BEST: "was the best of those that may run it",
}
_NO_NODE = "No node has it now"
_ONLY = "took the call and runs it itself. There was no other node to choose from, so nothing had to be decided."


def explain(
    node_uuid: str, rule: Rule, decision: DecisionFacts | None, hops: Sequence[tuple[str, str, str]] = ()
) -> str:
    """Why an execution is where it is; `hops` are the nodes that did not take it, the class of each trouble and its text."""
    if decision is None:
        node = f"Node {node_uuid}" if node_uuid else "This process, which is no node,"
        return f"{node} {_ONLY}"
    where = f"Node {node_uuid} {_RULES[rule]}." if node_uuid else f"{_NO_NODE}."
    before = [f"Node {uuid} did not take it: {outcome} ({text})." for uuid, outcome, text in hops]
    return " ".join([*before, where, *_looked(decision)])


def _looked(decision: DecisionFacts) -> list[str]:
    if decision["policy"].startswith(SMS_DECISION):
        return _asked(decision)
    policy = f"Policy {decision['policy']} version {decision['policy_version']}"
    found = [f"{policy} looked at {_many(decision['nodes'], 'registered node')}: {decision['fitting']} may run it."]
    if decision["candidates"]:
        found.append(f"Best first: {'; '.join(_candidate(one) for one in decision['candidates'])}.")
    if decision["refused_counts"]:
        found.append(f"Refused: {', '.join(f'{n} {reason}' for reason, n in decision['refused_counts'].items())}.")
    found += [f"Node {one['node_uuid']}: {one['text']}." for one in decision["refused"]]
    return found


def _asked(decision: DecisionFacts) -> list[str]:
    ident = decision["policy"].removeprefix(SMS_DECISION)
    named = "; ".join(f"{one['node_uuid']} with {one['score']:g} points" for one in decision["candidates"])
    return [f"The SMS decided ({ident}), best first: {named or 'no node'}."] if ident else ["The SMS was asked for it."]


def _candidate(c: CandidateFacts) -> str:
    used = f"cpu {c['cpu_percent']:g} %, memory {c['memory_percent']:g} %, disk {c['disk_percent']:g} %"
    said = f"{used}, load {c['load_1m']:g}" if c["reported"] else "it never reported resources"
    slots = f" on {c['slots']} slots" if c["slots"] else ""
    past = f", {_many(c['failures'], 'failure')} in a row" if c["failures"] else ""
    return f"{c['node_uuid']} with {c['score']:g} points ({said}, {c['in_flight']} in flight{slots}{past})"


def explain_why_not(node_uuid: str, refused: list[Refused], *, score: float, rank: int, fitting: int) -> str:
    """Whether a node may run a task, and what keeps it from it."""
    if refused:
        return f"Node {node_uuid} may not run it: {'; '.join(one.text for one in refused)}."
    return f"Node {node_uuid} may run it: with {score:g} points it is number {rank} of {fitting}."


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
