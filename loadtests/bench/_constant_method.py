"""Serves one unary method with a constant answer (in hex) on SPEAR's own gRPC server, past all checks; prints its port: `ANSWER`."""

from gevent import monkey

monkey.patch_all()

import sys

import grpc
from gevent.event import Event

from spear.adapters.rpc.server import RpcServer
from spear.config import Address, Grpc, Tls


def main(answer: bytes) -> None:
    """Serve until it is ended."""
    server = RpcServer(Address("127.0.0.1", 0), key="bench", tls=Tls(False, None, None), limits=Grpc())
    method = grpc.unary_unary_rpc_method_handler(lambda request, context: answer)
    bare = server._server  # what it serves otherwise asks who calls
    bare.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Constant", {"Ask": method})])
    bare.start()
    print(server.port, flush=True)
    Event().wait()


if __name__ == "__main__":
    main(bytes.fromhex(sys.argv[1]))
