"""Which doors of a process are open to anybody, and what it shows at the doors of another one."""

import ssl
from pathlib import Path
from secrets import token_bytes

from spear.adapters.credentials import SECRET_BYTES, Pem, context_of, pem_of, secret_in, token_of
from spear.adapters.rest.fetching import HttpObjects
from spear.config import Address, Config, Role
from spear.errands import Holders, NodeAddress
from spear.ports import Clock
from spear.projections.reader import Reader
from spear.services.holders import FleetHolders, SmsHolder
from spear.services.nodes import OwnNode
from spear.services.passes import Passes
from spear.services.tokens import Tokens

NODE_PATIENCE_S = 5.0  # an SMS that waits for a node is waited for longer


def is_open(config: Config, address: Address) -> bool:
    """Whether nobody needs a token at this address."""
    return config.insecure or address.loopback


def refuse_to_shut_everybody_out(config: Config, tokens: Tokens) -> None:
    """Raise `StartupError` for a door that asks for a token while there is none, unless an SMS sends who shall come in."""
    if config.role is Role.SPEARLET and config.spearlet.connect:
        return
    for field in ("http_addr", "grpc_addr", "bus_addr", *(["web_admin_addr"] if config.enable_web_admin else [])):
        if not is_open(config, getattr(config, field)) and not tokens.any():
            raise config.setting(field).refused(
                "a loopback address while there is no token; make one with --new-token NAME --role admin"
                f" --data-dir {config.data_dir}, or serve anybody who can reach it with --insecure"
            )


def shown_to_sms(config: Config) -> tuple[str, ssl.SSLContext | None]:
    """The token for the SMS, and how to encrypt; raises `StartupError` for files that are of no use."""
    shown = config.spearlet.sms
    return token_of(shown, "spearlet.sms_"), context_of(shown, "spearlet.sms_")


def shown_to_nodes(config: Config) -> tuple[Pem | None, ssl.SSLContext | None]:
    """How to encrypt calls to nodes, by gRPC and by HTTP; raises `StartupError` for files that are of no use."""
    tls = context_of(config.nodes, "nodes.")
    return pem_of(config.nodes), tls


def passes_of(config: Config, data: Path, clock: Clock) -> Passes:
    """What issues the passes for this process's nodes; a SPEARlet has none, so its are good nowhere."""
    alone = config.role is Role.SPEARLET
    return Passes(token_bytes(SECRET_BYTES) if alone else secret_in(data / "pass.key"), clock)


def holders_of(config: Config, reader: Reader, *, own: OwnNode, passes: Passes) -> Holders | None:
    """Who has the objects that this process lacks; None for a SPEARlet without an SMS."""
    if config.role is not Role.SPEARLET:
        nodes = HttpObjects(
            here=True, code="NODE_UNREACHABLE", patience_s=NODE_PATIENCE_S, tls=shown_to_nodes(config)[1]
        )
        return FleetHolders(reader, nodes, own=own, passes=passes)
    if not config.spearlet.connect:
        return None
    (token, tls), address = shown_to_sms(config), config.spearlet.sms_http_addr
    sms = HttpObjects(here=False, code="SMS_UNREACHABLE", patience_s=3 * NODE_PATIENCE_S, tls=tls)
    return SmsHolder(sms, NodeAddress("", address.host, address.port, token))
