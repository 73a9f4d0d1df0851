"""An SMS with SPEARlets that run for it, as several benchmarks start them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.server import Server


@contextmanager
def fleet(folder: Path, *names: str) -> Iterator[tuple[Server, list[Server]]]:
    """An SMS and a SPEARlet of each name, with the agent `hello` at the endpoint of that name; each is ended by its pid."""
    with ExitStack() as stack:
        sms = stack.enter_context(Server(folder / "sms", role="sms"))
        sms.register("hello", endpoint="hello")
        yield sms, [stack.enter_context(_spearlet(folder, sms, name)) for name in names]


def _spearlet(folder: Path, sms: Server, name: str) -> Server:
    config = folder / f"{name}.toml"
    config.write_text(f"[spearlet]\nsms_http_addr = '127.0.0.1:{sms.port}'\nsms_connect_retry_ms = 50\n")
    link = "--sms-addr", f"127.0.0.1:{sms.grpc_port}", "--auto-register", "--node-name", name
    return Server(folder / name, "--config", str(config), *link, role="spearlet")


def uuid_of(node: Server) -> str:
    """The uuid that the node keeps."""
    return (node.data_dir / "node_uuid").read_text()
