"""What a client shows to a server and whom it trusts, read from PEM files once and in one way for every protocol."""

import os
import re
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from spear.config import Credentials
from spear.errors import StartupError

_TOKEN = re.compile(r"[!-~]{0,1024}")
_FILE_MOST = 4096
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pem:
    """The bytes of a CA and, for who asks for it, of an own chain and its key."""

    ca: bytes
    key: bytes | None
    chain: bytes | None


def token_of(shown: Credentials, prefix: str) -> str:
    """The token, "" for none; raises `StartupError` for what is none, which it never repeats."""
    source, token = f"{prefix}token", shown.token
    if shown.token_path is not None:
        source, token = f"{prefix}token_path: {shown.token_path}", _head(shown.token_path, prefix)
    if not _TOKEN.fullmatch(token) or (shown.token_path and not token):
        raise StartupError(f"{source}: expected one token, printable ASCII without spaces")
    return token


def _head(path: Path, prefix: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_MOST).decode("latin-1").strip()
    except OSError as error:
        raise StartupError(f"{prefix}token_path: cannot read {path}: {error.strerror}") from None


def context_of(shown: Credentials, prefix: str) -> ssl.SSLContext | None:
    """How to encrypt, None for not at all; raises `StartupError` with the key behind `prefix` whose file is of no use."""
    if shown.ca_path is None:
        return None
    key = "ca_path"
    try:
        context = ssl.create_default_context(cafile=shown.ca_path)
        if shown.cert_path is not None:
            key = "cert_path"
            context.load_cert_chain(shown.cert_path, shown.key_path)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"{prefix}{key}: cannot use {getattr(shown, key)}: {error.strerror or error}") from None
    return context


def pem_of(shown: Credentials) -> Pem | None:
    """The same files for a library that wants their bytes; of files that `context_of` could use."""
    if shown.ca_path is None:
        return None
    key, chain = (path.read_bytes() if path else None for path in (shown.key_path, shown.cert_path))
    return Pem(shown.ca_path.read_bytes(), key, chain)


def secret_in(path: Path) -> bytes:
    """256 random bits that are kept in a file which only its owner reads, made at the first call; raises `StartupError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _kept(path)
    made = secrets.token_bytes(SECRET_BYTES)
    with open(descriptor, "wb") as file:
        file.write(made)
        file.flush()
        os.fsync(descriptor)
    return made


def _kept(path: Path) -> bytes:
    with path.open("rb") as file:
        found = file.read(SECRET_BYTES + 1)
    if len(found) != SECRET_BYTES:
        raise StartupError(f"{path}: expected {SECRET_BYTES} bytes; delete the file to make new ones")
    return found
