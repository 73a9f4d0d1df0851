"""The server that a good engineer would write in an hour: `DATABASE`; prints its port. No limits, no log, no views."""

import os
import socket
import sys
from uuid import uuid4

import apsw
from flask import Flask, Response, request
from gevent.pywsgi import WSGIServer
from wasmtime import Engine, ExitTrap, Func, FuncType, InstancePre, Linker, Module, Store, ValType, WasiConfig

engine = Engine()
linker = Linker(engine)
linker.define_wasi()
linker.define_func("spear", "log", FuncType([ValType.i32()] * 3, [ValType.i32()]), lambda level, text, size: 0)
agents = {"hello": linker.instantiate_pre(Module.from_file(engine, "samples/build/hello.wasm"))}

db = apsw.Connection(sys.argv[1], vfs="unix")
db.execute("PRAGMA journal_mode=WAL").fetchall()
db.execute("PRAGMA synchronous=FULL").fetchall()
db.execute("CREATE TABLE calls (id TEXT, state TEXT, content BLOB)")


def run(agent: InstancePre, content: bytes) -> bytes:
    store, wasi = Store(engine), WasiConfig()
    stdin, stdout = os.memfd_create("stdin"), os.memfd_create("stdout")
    try:
        os.write(stdin, content)
        wasi.stdin_file, wasi.stdout_file = f"/proc/self/fd/{stdin}", f"/proc/self/fd/{stdout}"
        store.set_wasi(wasi)
        start = agent.instantiate(store).exports(store)["_start"]
        assert isinstance(start, Func)
        try:
            start(store)
        except ExitTrap as trap:
            if trap.code:
                raise
        return os.pread(stdout, os.fstat(stdout).st_size, 0)
    finally:
        os.close(stdin)
        os.close(stdout)


app = Flask(__name__)


@app.post("/e/<name>")
def invoke(name: str) -> Response:
    call, content = str(uuid4()), request.get_data()
    db.execute("INSERT INTO calls VALUES (?, 'requested', ?)", (call, content))
    output = run(agents[name], content)
    db.execute("INSERT INTO calls VALUES (?, 'completed', ?)", (call, output))
    return Response(output, content_type=request.content_type)


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
listener.setblocking(False)
print(listener.getsockname()[1], flush=True)
WSGIServer(listener, app, log=None).serve_forever()
