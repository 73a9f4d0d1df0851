"""A SPEARlet's own duties: end what died with an earlier process, begin what waits, beat, tidy up."""

from spear.reactors import janitor
from spear.reactors.dispatcher import DIED, Dispatcher
from spear.reactors.reporter import Reporter
from spear.reactors.watchdog import stop_what_died
from spear.roles.loops import Loops
from spear.services.platform import Platform


def start(platform: Platform, loops: Loops, reporter: Reporter) -> None:
    """Begin to run executions; returns once nothing of an earlier process is left running."""
    config = platform.config
    dispatcher = Dispatcher(platform.reader, platform.executions)
    reporter.report()
    dispatcher.end_lost(DIED)
    stop_what_died(platform.reader, platform.instances)
    loops.every(0.5, dispatcher.dispatch, at_once=True)
    loops.every(1.0, dispatcher.end_lost)
    loops.every(config.spearlet.heartbeat_interval, reporter.report)
    loops.every(1.0, platform.runs.settle)
    idle_s = config.executions.instance_idle_s
    loops.every(
        max(1.0, idle_s / 4), lambda: janitor.stop_idle(platform.instances, clock=platform.clock, idle_s=idle_s)
    )
