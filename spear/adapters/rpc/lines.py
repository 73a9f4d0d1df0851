"""Channels to other processes, encrypted or not."""

from collections.abc import Sequence

import grpc

from spear.adapters.credentials import Pem
from spear.config import Address


def line_to(address: Address, options: Sequence[tuple[str, int]], pem: Pem | None) -> grpc.Channel:
    """A channel; with a `pem`, to a server whose certificate its CA signed or to none."""
    if pem is None:
        return grpc.insecure_channel(str(address), options=options)
    credentials = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.chain)
    return grpc.secure_channel(str(address), credentials, options=options)
