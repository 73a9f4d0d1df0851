"""A SPEARlet's own duties: end what died with an earlier process, begin what waits, beat, tidy up."""

import logging
from collections.abc import Callable, Iterator
from time import monotonic

import gevent

from spear.config import Config, Role, Spearlet
from spear.errors import SpearError, Unavailable
from spear.events.record import Origin
from spear.ports import Limits
from spear.reactors import janitor
from spear.reactors.dispatcher import DIED, Dispatcher
from spear.reactors.follower import Follower
from spear.reactors.reporter import Reporter
from spear.reactors.reports import ReportSender
from spear.reactors.watchdog import stop_what_died
from spear.roles.loops import Loops
from spear.services.passes import Gate
from spear.services.platform import Platform
from spear.services.runs import Settings

log = logging.getLogger(__name__)


def start(platform: Platform, loops: Loops, reporter: Reporter) -> None:
    """Begin to run executions; returns once nothing of an earlier process is left running."""
    config = platform.config
    dispatcher = Dispatcher(platform.reader, platform.executions)
    reporter.report()
    dispatcher.end_lost(DIED)
    stop_what_died(platform.reader, platform.instances, platform.runs.node)
    loops.every(0.5, dispatcher.dispatch, at_once=True)
    loops.every(1.0, dispatcher.end_lost)
    loops.every(config.spearlet.heartbeat_interval, reporter.report)
    loops.every(1.0, platform.runs.settle)
    idle_s = config.executions.instance_idle_s
    loops.every(
        max(1.0, idle_s / 4), lambda: janitor.stop_idle(platform.instances, clock=platform.clock, idle_s=idle_s)
    )


def learning(platform: Platform, gate: Gate) -> Callable[[str], None]:
    """What a node in one process with its SMS does at each beat: its gate learns what other nodes learn by the wire."""

    def learn(uuid: str) -> None:
        if platform.config.role is Role.ALL:
            gate.learn(platform.passes.key_of(uuid), platform.passes.now_s)

    return learn


def settings(config: Config) -> Settings:
    """How much of executions this process bears."""
    e = config.executions
    return Settings(
        limits=Limits(e.wall_ms, e.memory_bytes, e.output_bytes, e.log_bytes),
        max_concurrent=e.max_concurrent,
        max_concurrent_per_task=e.max_concurrent_per_task,
        queue_limit=e.queue_limit,
    )


def wind_down(platform: Platform) -> None:
    """Start nothing more, give what runs its grace, and record what ends; what runs on other nodes goes on there."""
    reason = "the server is stopping"
    grace_s = platform.config.executions.grace_ms / 1000
    platform.runs.close(reason, grace_s=grace_s)
    if platform.forwards is not None:
        platform.forwards.close(reason, grace_s=grace_s)
    for error in platform.instances.stop_all(Origin("bootstrap"), reason):
        log.warning("the end of an instance is not recorded: %s", error.message)


def link(sms: Reporter, follower: Follower, sender: ReportSender, loops: Loops, config: Spearlet) -> None:
    """Keep this node known at its SMS, follow its tasks and report; a process that cannot reach it for too long ends."""
    loops.spawn(lambda: _keep_known(sms, config))
    loops.spawn(lambda: _keep_following(follower.follow, config))
    loops.spawn(lambda: _keep_following(sender.follow, config))


def _keep_known(sms: Reporter, config: Spearlet) -> None:
    pauses, last_answer = _pauses(config), monotonic()
    while True:
        try:
            sms.report()
            pauses, last_answer = _pauses(config), monotonic()
            gevent.sleep(config.heartbeat_interval)
        except SpearError as error:
            silent_ms = (monotonic() - last_answer) * 1000
            if isinstance(error, Unavailable) and silent_ms > config.reconnect_total_timeout_ms:
                raise Unavailable(f"no answer for {silent_ms:.0f} ms, reconnect_total_timeout_ms: {error}") from None
            _wait_after(error, next(pauses))


def _keep_following(follow: Callable[[], None], config: Spearlet) -> None:
    while True:
        pauses = _pauses(config)
        began = monotonic()
        while monotonic() - began < config.heartbeat_interval:  # one that followed for a while starts afresh
            try:
                follow()
            except SpearError as error:
                _wait_after(error, next(pauses))


def growing(first_ms: int, *, longest_s: float) -> Iterator[float]:
    """Pauses in seconds, each twice the one before, up to the longest."""
    pause_s = first_ms / 1000
    while True:
        yield min(pause_s, longest_s)
        pause_s = min(2 * pause_s, longest_s)


def _pauses(config: Spearlet) -> Iterator[float]:
    return growing(config.sms_connect_retry_ms, longest_s=config.heartbeat_interval)


def _wait_after(error: SpearError, pause_s: float) -> None:
    log.warning("%s; trying again in %.1f s", error.message, pause_s)
    gevent.sleep(pause_s)
