"""Which doors of a process are open to anybody, and what it shows at the doors of another one."""

import ssl

from spear.adapters.credentials import context_of, token_of
from spear.config import Address, Config
from spear.services.tokens import Tokens


def is_open(config: Config, address: Address) -> bool:
    """Whether nobody needs a token at this address."""
    return config.insecure or address.loopback


def refuse_to_shut_everybody_out(config: Config, tokens: Tokens) -> None:
    """Raise `StartupError` for a door that asks for a token while there is none."""
    for field in ("http_addr", "grpc_addr", "bus_addr", *(["web_admin_addr"] if config.enable_web_admin else [])):
        if not is_open(config, getattr(config, field)) and not tokens.any():
            raise config.setting(field).refused(
                "a loopback address while there is no token; make one with --new-token NAME --role admin"
                f" --data-dir {config.data_dir}, or serve anybody who can reach it with --insecure"
            )


def shown_to_sms(config: Config) -> tuple[str, ssl.SSLContext | None]:
    """The token for the SMS, and how to encrypt; raises `StartupError` for files that are of no use."""
    shown = config.spearlet.sms
    return token_of(shown, "spearlet.sms"), context_of(shown, "spearlet.sms")
