"""Objects in S3-compatible buckets: one GET, path-style, signed with AWS Signature Version 4 where keys are given."""

import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import quote, urlsplit

from spear.config import AwsKeys

SCHEMES = ("s3", "minio")
EXPECTED = "s3://<bucket>/<key> or minio://<bucket>/<key>"
_URI = re.compile(r"(?i:s3|minio)://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.{1,1024})", re.DOTALL)
_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()


def path_of(uri: str) -> str:
    """Where the object is below the endpoint, encoded for a request line; raises ValueError for what is no such URI."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ValueError(uri)
    return quote(f"/{found['bucket']}/{found['key']}", safe="/~")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Who keeps the buckets, an http(s) origin, and as whom they are read; without keys nothing is signed."""

    endpoint: str
    keys: AwsKeys = field(default_factory=AwsKeys)

    def connect(self, timeout_s: float) -> HTTPConnection:
        """A connection to the endpoint, not opened yet."""
        parts = urlsplit(self.endpoint)
        return (HTTPSConnection if parts.scheme == "https" else HTTPConnection)(parts.netloc, timeout=timeout_s)

    def headers(self, path: str) -> dict[str, str]:
        """What a GET of `path` says now."""
        return signed("GET", urlsplit(self.endpoint).netloc, path, keys=self.keys, at=time.time())


def signed(method: str, host: str, path: str, *, keys: AwsKeys, at: float) -> dict[str, str]:
    """The headers of a request without body and query, signed at `at`, seconds since 1970."""
    if not keys.access_key_id:
        return {"Host": host}
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    headers = {"Host": host, "X-Amz-Content-Sha256": _NO_BODY, "X-Amz-Date": moment}
    if keys.session_token:
        headers["X-Amz-Security-Token"] = keys.session_token
    named = ";".join(name.lower() for name in headers)
    scope = f"{moment[:8]}/{keys.region}/s3/aws4_request"
    request = "\n".join(
        [method, path, "", *(f"{name.lower()}:{text}" for name, text in headers.items()), "", named, _NO_BODY]
    )
    to_sign = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = _mac(_signing_key(keys, scope), to_sign).hex()
    given = f"Credential={keys.access_key_id}/{scope}, SignedHeaders={named}, Signature={signature}"
    return headers | {"Authorization": f"{_ALGORITHM} {given}"}


def _signing_key(keys: AwsKeys, scope: str) -> bytes:
    key = b"AWS4" + keys.secret_access_key.encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
