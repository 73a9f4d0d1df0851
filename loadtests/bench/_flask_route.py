"""Serves one constant Flask route on SPEAR's own server class; prints its port."""

from gevent import monkey

monkey.patch_all()

from flask import Flask
from gevent.event import Event

from spear.adapters.rest.server import HttpServer
from spear.config import Address, Tls


def main() -> None:
    """Serve until it is ended."""
    app = Flask(__name__)

    @app.post("/heartbeat")
    def heartbeat() -> dict[str, object]:
        return {"success": True, "message": "Heartbeat received"}

    server = HttpServer(Address("127.0.0.1", 0), key="bench", tls=Tls(False, None, None))
    server.serve(app)
    print(server.port, flush=True)
    Event().wait()


if __name__ == "__main__":
    main()
