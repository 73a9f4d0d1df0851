"""The bus's own CURVE keys, kept in one file of the data directory."""

import os
from pathlib import Path

import zmq

from spear.errors import StartupError

_LONGEST = 1024


def own_keys(path: Path) -> tuple[bytes, bytes]:
    """The public and the secret key, made at the first call; the file is readable by its owner alone.

    Raises `StartupError` when the file holds no pair of keys.
    """
    try:
        return _make(path)
    except FileExistsError:
        return _read(path)


def _make(path: Path) -> tuple[bytes, bytes]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        public, secret = zmq.curve_keypair()
        file.write(b"public " + public + b"\nsecret " + secret + b"\n")
        file.flush()
        os.fsync(descriptor)
    return public, secret


def _read(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        found = dict(line.split(b" ", 1) for line in file.read(_LONGEST).splitlines() if b" " in line)
    public, secret = found.get(b"public", b""), found.get(b"secret", b"")
    try:
        if zmq.curve_public(secret) == public:
            return public, secret
    except (ValueError, zmq.ZMQError):
        pass
    raise StartupError(f"{path}: expected the bus's two keys; delete the file to make new ones")
