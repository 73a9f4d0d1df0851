"""A SPEARlet's link to its SMS, put together: how it is described there, whom it follows, what it reports."""

import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from spear.adapters.credentials import pem_of
from spear.adapters.rest.passing import SmsDoor
from spear.adapters.rpc.headquarters import SmsHeadquarters
from spear.adapters.rpc.sms import SmsClient
from spear.adapters.system import cpu_cores, own_ip
from spear.config import Config, Role
from spear.errors import SpearError, StartupError
from spear.ports import Bell, Threads
from spear.reactors.follower import Follower
from spear.reactors.lines import LineSender
from spear.reactors.reporter import Description, Reporter
from spear.reactors.reports import Bookmark, ReportSender
from spear.roles import spearlet
from spear.roles.doors import shown_to_sms
from spear.roles.loops import Loops
from spear.services.platform import Platform

log = logging.getLogger(__name__)


def described(config: Config, *, runtimes: Iterable[str]) -> Description:
    """How this process's own node is reached, its name, and what it offers."""
    return Description(
        ip_address=config.spearlet.advertise_ip or own_ip(config.grpc_addr, config.spearlet.sms_grpc_addr),
        port=config.grpc_addr.port,
        http_port=config.http_addr.port,
        name=config.node_name or socket.gethostname(),
        offers={
            "runtimes": ",".join(runtimes),
            "slots": str(config.executions.max_concurrent),
            "cpu_cores": str(cpu_cores()),
        },
    )


def sms_door(config: Config) -> SmsDoor | None:
    """Where what an SMS keeps is asked for; None for who is linked to none."""
    if config.role is not Role.SPEARLET or not config.spearlet.connect:
        return None
    token, tls = shown_to_sms(config)
    certified = config.spearlet.sms.cert_path is not None
    return SmsDoor(config.spearlet.sms_http_addr, token=token, tls=tls, certified=certified)


def connected(config: Config, *, learn: Callable[[bytes, int], None], stack: ExitStack) -> SmsClient | None:
    """The SMS, once it answers; None for who is linked to none. `stack` closes it; raises `StartupError`."""
    if config.role is not Role.SPEARLET or not config.spearlet.connect:
        return None
    token, tls = shown_to_sms(config)
    if token and tls is None and not config.spearlet.sms_grpc_addr.loopback:
        log.warning("the token for the SMS crosses the network unencrypted; set spearlet.sms_ca_path")
    pem, at = pem_of(config.spearlet.sms), config.spearlet
    sms = SmsClient(at.sms_grpc_addr, learn=learn, retry_ms=at.sms_connect_retry_ms, token=token, pem=pem)
    stack.callback(sms.close)
    try:
        sms.connect(at.sms_connect_timeout_ms / 1000)
    except SpearError as error:
        raise StartupError(f"spearlet.sms_grpc_addr: {error.message}") from error
    return sms


def join(
    sms: SmsClient, reporter: Reporter, platform: Platform, running: Loops, *, bell: Bell, threads: Threads
) -> None:
    """Register if that is wanted at once, and keep the link from then on; raises `StartupError`."""
    wanted, folder, node = platform.config.spearlet, platform.config.data_dir, platform.runs.node
    try:
        if wanted.auto_register:
            reporter.register()
    except SpearError as error:
        raise StartupError(f"spearlet.auto_register: {error.message}") from error
    follower = Follower(sms, platform.tasks, platform.instances, node=node, folder=folder)
    told = SmsHeadquarters(sms)
    lines = LineSender(platform.logs, told, bell=bell, spawn=running.spawn)
    bookmark = Bookmark(folder / "reports_cursor.json", sms=str(wanted.sms_grpc_addr), threads=threads)
    sender = ReportSender(platform.log, platform.reader, told, node=node, lines=lines, bookmark=bookmark, bell=bell)
    spearlet.link(reporter, follower, sender, running, wanted)
