#!/usr/bin/env python3
"""The one server program: `python spear_server.py --role sms|spearlet|all`."""

import gc

gc.disable()  # what importing makes stays; looking for garbage in it takes a tenth of a start

from gevent import events, monkey

events.notify_and_call_entry_points = events.notify  # no plug-ins: it would search all that is installed, 25 times
monkey.patch_all()

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.event import AsyncResult

from spear import config as configuration
from spear import logs
from spear.adapters.threads import SWITCH_INTERVAL_S
from spear.bootstrap import serving, tokens
from spear.cli.tokens import about_tokens
from spear.errors import SpearError

log = logging.getLogger("spear.server")
MOST_FILES = 65536


def main() -> int:
    """Serve until a signal; 0 after an orderly stop, 1 when something that must live died, 2 when it cannot start."""
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(most, MOST_FILES)), most))
    stopped = AsyncResult()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set, (0, signal.Signals(number).name))
    try:
        config = configuration.load(sys.argv[1:], environ=os.environ, home=Path.home())
        if config.print_config:
            print(config.explained())
            return 0
        if config.about_tokens:
            return about_tokens(config, config.about_tokens, opened=tokens)
        logs.configure(config.log.level, config.log.format, file=config.log.file)
        with serving(
            config, failed=lambda reason: stopped.set((1, reason)), progress=_while_starting(stopped)
        ) as platform:
            at = platform.config
            log.info("configured: %s; every other value is the default (--print-config shows all)", config.chosen())
            log.info("ready: http %s, grpc %s, data %s", at.http_addr, at.grpc_addr, at.data_dir)
            status, reason = _awaited(stopped)
            log.log(logging.ERROR if status else logging.INFO, "stopping: %s", reason)
        log.info("stopped")
    except SpearError as error:
        print(f"spear_server: {error.message}", file=sys.stderr)
        return 2
    return status


def _while_starting(stopped: AsyncResult) -> Callable[[int, int], None]:
    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        gevent.sleep(0)  # lets a signal in
        if stopped.ready():
            raise SystemExit(_awaited(stopped)[0])
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            log.info("reading the log: %d of %d events", done, total)

    return progress


def _awaited(stopped: AsyncResult) -> tuple[int, str]:
    status, reason = stopped.get()
    return int(status), str(reason)


if __name__ == "__main__":
    sys.exit(main())
