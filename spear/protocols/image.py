"""How a task names a container image: `docker://NAME[:TAG][@DIGEST]`, or the same without the scheme."""

import re

from spear.errors import Invalid

_SCHEME = "docker://"
_DOMAIN = r"(?:(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+(?::[0-9]{1,5})?/)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(rf"{_DOMAIN}{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII)
EXPECTED = "a container image such as docker://NAME:TAG or docker://NAME@sha256:DIGEST"


def image_of(uri: str) -> str:
    """The image's name without the scheme; raises `Invalid` for what no engine would take."""
    name = uri.removeprefix(_SCHEME)
    if len(name) > 512 or not _IMAGE.fullmatch(name):
        raise Invalid.field("executable.uri", uri, EXPECTED)
    return name
