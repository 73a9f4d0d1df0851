"""An image registry with one image, `agent:latest` of busybox, for whoever starts it: `_registry.py BUSYBOX`; prints its port."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, HTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def _layer(busybox: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
    return made.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _content(busybox: str) -> dict[str, bytes]:
    """Everything that it answers, by path."""
    layer = _layer(busybox)
    blob = gzip.compress(layer)
    started = {"Cmd": ["/bin/busybox", "echo", "pulled"]}
    about = {
        "architecture": "amd64",
        "os": "linux",
        "config": started,
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    config = json.dumps(about).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": _digest(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": len(blob),
                    "digest": _digest(blob),
                }
            ],
        }
    ).encode()
    blobs = {f"/v2/agent/blobs/{_digest(content)}": content for content in (config, blob)}
    return {
        "/v2/": b"{}",
        "/v2/agent/manifests/latest": manifest,
        f"/v2/agent/manifests/{_digest(manifest)}": manifest,
    } | blobs


def main() -> None:
    """Serve until somebody ends it."""
    contents = _content(sys.argv[1])

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = contents.get(self.path)
            body = found or b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
            self.send_response(404 if found is None else 200)
            if "/manifests/" in self.path:
                self.send_header("Docker-Content-Digest", _digest(body))
            self.send_header("Content-Type", MANIFEST if found and "/manifests/" in self.path else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
