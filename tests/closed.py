"""A real server process whose every door asks for a token."""

import subprocess
from pathlib import Path
from typing import Self

import requests

from tests.server import Server


class Closed(Server):
    """A server at addresses that do not count as loopback, and still are: nobody from outside reaches a test."""

    def __init__(self, data_dir: Path, *flags: str, role: str = "all") -> None:
        super().__init__(data_dir, *flags, role=role)
        ports = {"http": self.port, "grpc": self.grpc_port, "bus": self.bus_port}
        ports |= {"web-admin": self.admin_port} if role != "spearlet" else {}
        self.flags = (*(word for name, port in ports.items() for word in (f"--{name}-addr", f"127.1:{port}")), *flags)
        self.tokens: dict[str, str] = {}

    def about_tokens(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """`spear_server.py` with these flags, on the server's data directory."""
        command = [*self.command[: self.command.index("--role")], *flags, "--data-dir", str(self.data_dir)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=self.data_dir.parent)

    def new_token(self, name: str, role: str) -> str:
        """Issue a token."""
        told = self.about_tokens("--new-token", name, "--role", role)
        assert told.returncode == 0, told.stderr
        return told.stdout.strip()

    def as_(self, token: str, method: str, path: str, **options) -> requests.Response:
        """One request with a token."""
        return self.call(
            method, path, headers={"Authorization": f"Bearer {token}", **options.pop("headers", {})}, **options
        )

    def issued(self, name: str, role: str) -> str:
        """A new token from the running server."""
        answer = self.as_(self.tokens["admin"], "POST", "/api/v1/tokens", json={"name": name, "role": role})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def __enter__(self) -> Self:
        """Start with a token for each role, named `a-<role>`."""
        self.tokens["admin"] = self.new_token("a-admin", "admin")
        self.start()
        self.tokens |= {role: self.issued(f"a-{role}", role) for role in ("operator", "node", "client")}
        return self

    @property
    def bus_key(self) -> str:
        """The public key of its bus."""
        return dict(line.split() for line in (self.data_dir / "bus.key").read_text().splitlines())["public"]
