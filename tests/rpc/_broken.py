"""A gRPC server whose one service has a bug: it prints its port, and serves until its input ends.

An argument says after how many milliseconds it hangs up on who asks nothing.
"""

from gevent import monkey

monkey.patch_all()

import sys

from gevent.fileobject import FileObjectThread

from spear import logs
from spear.adapters.rpc.access import Access
from spear.adapters.rpc.generated.sms import node_pb2
from spear.adapters.rpc.server import _OPTIONS, RpcServer
from spear.config import Address, Grpc, Tls
from spear.logs import Format
from spear.ports import Level


class Broken:
    """A node service that fails by surprise."""

    DESCRIPTOR = node_pb2.DESCRIPTOR.services_by_name["NodeService"]

    def get_node(self, request, asked):
        """Look into a table that does not hold it."""
        return {}[f"secret {request.uuid}"]


if __name__ == "__main__":
    logs.configure(Level.INFO, Format.JSON)
    if len(sys.argv) > 1:
        _OPTIONS["grpc.max_connection_idle_ms"] //= 300_000 // int(sys.argv[1])
    server = RpcServer(Address("127.0.0.1", 0), key="grpc.addr", tls=Tls(False, None, None), limits=Grpc())
    server.serve([Broken()], Access(None, open_door=True))
    print(server.port, flush=True)
    FileObjectThread(sys.stdin).read()  # which leaves the hub free
    server.stop_accepting()
    server.close()
