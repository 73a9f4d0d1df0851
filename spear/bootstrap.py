"""The composition root: from a configuration to a running platform; with `roles/` all that names concrete classes."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import apsw
from flask import Flask

from admin.app import make_admin
from admin.client import Api
from spear.abilities import Abilities
from spear.adapters.bus.server import BusServer
from spear.adapters.rest.app import make_app
from spear.adapters.rest.dialing import NodeStreams
from spear.adapters.rest.guard import Guard, Login
from spear.adapters.rest.passing import HERE
from spear.adapters.rest.server import OPEN, HttpServer, Wsgi
from spear.adapters.rpc.access import Access
from spear.adapters.rpc.app import make_services
from spear.adapters.rpc.nodes import NodeClients
from spear.adapters.rpc.server import RpcServer
from spear.adapters.rpc.sms import SmsClient
from spear.adapters.storage.artifacts import SmsFiles
from spear.adapters.storage.buckets import Buckets
from spear.adapters.storage.downloads import Kept
from spear.adapters.storage.logs import FileLogStore
from spear.adapters.system import Machine, new_secret, new_session_token
from spear.config import Address, Config, Role, Tls
from spear.errors import SpearError, StartupError
from spear.projections.timeline import Timeline
from spear.projections.views import Progress, quiet
from spear.reactors.dispatcher import Forwarder
from spear.reactors.doorkeeper import Doorkeeper
from spear.reactors.janitor import Collector, Snapshotter
from spear.reactors.reporter import OwnLog, Reporter
from spear.roles import member, sms, spearlet, standby
from spear.roles.doors import holders_of, is_open, refuse_to_shut_everybody_out, shown_to_nodes, shown_to_sms
from spear.roles.foundation import Foundation, data_dir, foundation
from spear.roles.loops import Loops, loops
from spear.roles.models import models_for
from spear.roles.runtimes import made_for
from spear.services import doors
from spear.services.content import Contents
from spear.services.endings import Endings
from spear.services.endpoints import Endpoints
from spear.services.executions import Executions
from spear.services.files import Files
from spear.services.forwards import Forwards
from spear.services.guests import GuestObjects
from spear.services.guides import FleetGuide, SmsGuide
from spear.services.instances import Instances
from spear.services.journeys import Bounds, Guide
from spear.services.nodes import Nodes, OwnNode
from spear.services.objects import Objects
from spear.services.placements import Placements
from spear.services.platform import Platform
from spear.services.registries import Registries
from spear.services.reports import Reports
from spear.services.runs import Runs
from spear.services.sessions import Sessions
from spear.services.streams import Streams
from spear.services.tasks import Tasks
from spear.services.tokens import Tokens

log = logging.getLogger(__name__)
NO_TLS = Tls(False, None, None)
Spawn = Callable[[Callable[[], None]], None]


@contextmanager
def serving(config: Config, *, failed: Callable[[str], None], progress: Progress = quiet) -> Iterator[Platform]:
    """A process in its role, ready to be asked; leaving the context stops it in order and loses nothing.

    `failed` is told when something that must live died. Raises `StartupError`.
    """
    with ExitStack() as stack:
        listener = _listener(stack, config, "http_addr")
        rpc = _rpc_listener(stack, config)
        config = config.listening(http_port=listener.port, grpc_port=rpc.port)
        admin = _listener(stack, config, "web_admin_addr") if config.enable_web_admin else None
        with _told_in_one_line(config):
            bus = _bus(stack, config)
        running = stack.enter_context(loops(failed))
        with _told_in_one_line(config):
            link = stack.enter_context(standby.linked(config))
            base = stack.enter_context(foundation(config, failed=failed, progress=progress, link=link))
            copy = link.caught_up(base.log, progress) if link else None
            standby.remember(config, head=base.log.head)
            node = OwnNode("")
            client = member.connected(config, learn=base.gate.learn, stack=stack)
            platform = _platform(base, config, node=node, spawn=running.spawn, client=client, link=link, stack=stack)
            refuse_to_shut_everybody_out(config, platform.tokens)
            door = HttpServer(config.door, key="data_dir", tls=NO_TLS, limits=config.http)
            stack.callback(door.close)
            if copy is None or link is None:
                _start_role(platform, base, running, node, client)
            else:
                standby.start(copy, link.fetcher(base.log, base.reader, base.blobs, base.data), running, failed)
            running.every(0.1, lambda: base.fleet.catch_up(base.clock.now_us()))
            running.every(0.5, Doorkeeper(base.log, platform.tokens).look)
            running.every(5.0, _snapshotter(base, config).look)
        stack.callback(rpc.close)
        stack.callback(spearlet.wind_down, platform)
        rpc.serve(make_services(platform), Access(platform.tokens, open_door=is_open(config, config.grpc_addr)))
        stack.callback(rpc.stop_accepting)
        app = make_app(platform, member.sms_door(config))
        _serve(listener, app, config, config.http_addr)
        door.serve(app, open_door=True)
        readers = doors.events_for(platform.tokens, open_door=is_open(config, config.bus_addr))
        bus.serve(platform.log, platform.blobs, readers, stack.enter_context(loops(failed)).spawn)
        if admin is not None:
            pages = make_admin(_asked(app), rest_url=_rest_url(config))
            _serve(admin, Login(pages, platform.tokens), config, config.web_admin_addr)
            stack.callback(admin.stop_accepting)
        stack.callback(listener.stop_accepting)
        yield platform


@contextmanager
def tokens(config: Config) -> Iterator[Tokens]:
    """The tokens of a data directory that no process serves; raises `StartupError` when one does, or it is a standby's."""
    with ExitStack() as stack:
        with _told_in_one_line(config):
            standby.refuse_a_standbys(config)
            base = stack.enter_context(foundation(config, failed=log.error, progress=quiet, link=None))
        yield _tokens(base)


def _serve(listener: HttpServer, app: Wsgi, config: Config, address: Address) -> None:
    guarded = Guard(app, Address(address.host, listener.port), config.http)
    listener.serve(guarded, open_door=is_open(config, address))


@contextmanager
def _told_in_one_line(config: Config) -> Iterator[None]:
    try:
        yield
    except StartupError:
        raise
    except (SpearError, OSError, apsw.Error) as error:
        raise StartupError(f"data_dir: cannot start on {config.data_dir}: {error}") from error


def _rest_url(config: Config) -> str:
    return f"{'https' if config.http_tls.enabled else 'http'}://{config.http_addr}"


def _asked(app: Flask) -> Api:
    """REST as the admin asks it: in this process, but by nothing else than requests."""

    def ask(path: str, query: Mapping[str, str | int]) -> tuple[int, Any]:
        answer = app.test_client().get(path, query_string=query, environ_overrides={OPEN: True, HERE: True})
        return answer.status_code, answer.json

    return ask


def _listener(stack: ExitStack, config: Config, field: str) -> HttpServer:
    listener = HttpServer(
        getattr(config, field), key=config.setting(field).key.name, tls=config.http_tls, limits=config.http
    )
    stack.callback(listener.close)
    return listener


def _rpc_listener(stack: ExitStack, config: Config) -> RpcServer:
    rpc = RpcServer(config.grpc_addr, key=config.setting("grpc_addr").key.name, tls=config.grpc_tls, limits=config.grpc)
    stack.callback(rpc.close)
    return rpc


def _bus(stack: ExitStack, config: Config) -> BusServer:
    key, keys, most = config.setting("bus_addr").key.name, data_dir(config) / "bus.key", config.bus_max_connections
    bus = BusServer(config.bus_addr, key=key, notices_port=config.bus_notices_port, keys=keys, max_connections=most)
    stack.callback(bus.close)
    return bus


def _tokens(base: Foundation) -> Tokens:
    return Tokens(base.unit, base.reader, secret=new_secret, gate=base.gate)


def _platform(
    base: Foundation,
    config: Config,
    *,
    node: OwnNode,
    spawn: Spawn,
    client: SmsClient | None,
    link: standby.Link | None,
    stack: ExitStack,
) -> Platform:
    unit, reader, clock, ids, bell = base.unit, base.reader, base.clock, base.ids, base.bell
    contents, logs = Contents(base.blobs), FileLogStore(config.log.tasks_dir, clock=clock, bell=bell)
    nodes, placements = Nodes(unit, reader, ids=ids), Placements(unit, base.fleet, ids=ids, clock=clock, node=node)
    tasks = Tasks(unit, reader, ids=ids, source=client)
    files = Files(unit, reader, base.blobs, ids=ids, max_upload_bytes=config.max_upload_bytes)
    passes = base.passes
    holders = holders_of(config, reader, own=node, passes=passes)
    objects = Objects(unit, reader, contents, max_object_size=config.max_object_size, holders=holders)
    models = models_for(config, base.log, clock=clock, stack=stack)
    links = NodeStreams(bell, spawn=spawn, tls=shown_to_nodes(config)[1])
    streams = Streams(
        reader, bell=bell, node=node, links=links, passes=passes, running=lambda ident: runs.has(ident), spawn=spawn
    )
    abilities = Abilities(
        GuestObjects(objects, contents), models, streams, recorded=lambda ident: runs.await_request(ident)
    )
    runtimes = made_for(config, clock=clock, bell=bell, abilities=abilities, stack=stack)
    instances = Instances(
        unit, reader, runtimes=runtimes, artifacts=_artifacts(config, files), ids=ids, clock=clock, bell=bell, node=node
    )
    endings = Endings(unit, contents)
    runs = Runs(
        unit, instances=instances, endings=endings, logs=logs, clock=clock, bell=bell, node=node,
        settings=spearlet.settings(config),
    )  # fmt: skip
    most = config.executions.max_forwarded
    guide = SmsGuide(client, node, most=most) if client else FleetGuide(placements, nodes, passes)
    alone = config.role is Role.SPEARLET and client is None
    forwards = None if alone else _forwards(base, config, endings, guide, spawn, stack)
    executions = Executions(
        unit, reader, runs=runs, tasks=tasks, contents=contents, placements=placements, ids=ids, spawn=spawn,
        forwards=forwards,
    )  # fmt: skip
    timeline = Timeline(base.log, snapshots=base.snapshots, folder=base.data / "as-of", threads=base.threads)
    stack.callback(timeline.close)
    return Platform(
        config=config,
        log=base.log,
        reader=reader,
        timeline=timeline,
        clock=clock,
        blobs=base.blobs,
        contents=contents,
        logs=logs,
        nodes=nodes,
        tasks=tasks,
        files=files,
        objects=objects,
        instances=instances,
        models=models,
        placements=placements,
        runs=runs,
        forwards=forwards,
        executions=executions,
        reports=Reports(unit, reader, lines=logs, node=node, forwards=forwards),
        tokens=_tokens(base),
        passes=passes,
        registries=Registries.over(unit, reader, ids=ids),
        following=link.following if link else None,
        streams=streams,
        sessions=Sessions(secret=new_session_token, clock=clock),
        endpoints=Endpoints(base.log, reader, tasks=tasks, executions=executions, streams=streams),
    )


def _forwards(
    base: Foundation, config: Config, endings: Endings, guide: Guide, spawn: Spawn, stack: ExitStack
) -> Forwards:
    clients = NodeClients(max_message_bytes=config.grpc.max_message_bytes, pem=shown_to_nodes(config)[0])
    stack.callback(clients.close)
    bounds = Bounds(config.executions.max_forwarded, config.executions.queue_limit, spearlet.settings(config).limits)
    return Forwards(base.unit, guide=guide, nodes=clients, endings=endings, bell=base.bell, bounds=bounds, spawn=spawn)


def _artifacts(config: Config, files: Files) -> SmsFiles:
    own, buckets = str(config.http_addr), Buckets(config.s3_endpoint, config.aws) if config.s3_endpoint else None
    fetching = partial(SmsFiles, local=files.open, own_addr=own, bucket_store=buckets)
    if not config.spearlet.connect:
        return fetching(own)
    token, tls = shown_to_sms(config)
    kept = Kept(config.data_dir / "cache" / "artifacts", most_bytes=config.spearlet.max_cache_size_mb * 2**20)
    return fetching(str(config.spearlet.sms_http_addr), kept=kept, token=token, tls=tls)


def _start_role(platform: Platform, base: Foundation, running: Loops, node: OwnNode, client: SmsClient | None) -> None:
    config = platform.config
    if config.role is not Role.SPEARLET:
        sms.start(platform, running)
    if config.role is not Role.SMS:
        described = member.described(config, runtimes=platform.instances.kinds)
        identity, beat = base.data / "node_uuid", spearlet.learning(platform, base.gate)
        own = OwnLog(platform.nodes, node, identity=identity, offers=described.offers, beat=beat)
        reporting = partial(Reporter, node=node, described=described, measure=Machine(config.data_dir).measure)
        has = platform.models.described()
        introduce = partial(platform.registries.backends.told_by, backends=has)
        spearlet.start(platform, running, reporting(own, introduce=introduce))
        if client is not None:
            to_sms = reporting(client, introduce=partial(client.report_backends, backends=has))
            member.join(client, to_sms, platform, running, bell=base.bell, threads=base.threads)
    if platform.forwards is not None:
        running.every(2.0, Forwarder(base.reader, platform.executions, node).look, at_once=True)
        running.every(0.5, platform.forwards.look)
    collector = Collector(
        base.reader,
        base.blobs,
        clock=base.clock,
        bookmark=base.data / "collected",
        retention_s=config.content_retention,
    )
    running.every(config.cleanup_interval if config.role is Role.SPEARLET else 60.0, collector.collect)


def _snapshotter(base: Foundation, config: Config) -> Snapshotter:
    return Snapshotter(base.log, base.snapshots, views=base.views, every=config.snapshot_every, threads=base.threads)
