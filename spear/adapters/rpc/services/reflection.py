"""Server reflection: what services and messages there are."""

from collections.abc import Iterator
from typing import Any

import grpc
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from spear.adapters.rpc.access import Access
from spear.adapters.rpc.calls import Message, Streams, answering

METHOD = f"{SERVICE_NAME}/ServerReflectionInfo"


class Reflection(ReflectionServicer):  # type: ignore[misc]
    """Describes the services of these names, and itself, to whom the table lets in."""

    def __init__(self, names: tuple[str, ...], streams: Streams, access: Access) -> None:
        super().__init__((*names, SERVICE_NAME))
        self._streams, self._access = streams, access

    def add_to(self, server: grpc.Server) -> None:
        """Serve it."""
        add_ServerReflectionServicer_to_server(self, server)

    def ServerReflectionInfo(self, request_iterator: Iterator[Message], context: Any) -> Iterator[Message]:
        """An answer to each question."""
        with answering(context, self._access, METHOD) as asked:
            yield from self._streams.run(super().ServerReflectionInfo(request_iterator, context), asked)
