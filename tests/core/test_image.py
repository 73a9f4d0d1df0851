"""How a task names a container image."""

import pytest

from spear.errors import Invalid
from spear.protocols.image import image_of

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "name",
    [
        "python",
        "python:3.12-slim",
        "team/agent_one:1",
        f"agent@{DIGEST}",
        f"a.example:5000/team/agent:v1@{DIGEST}",
        "localhost/x",
    ],
)
def test_an_image_is_named_with_or_without_a_scheme(name: str) -> None:
    assert image_of(name) == image_of(f"docker://{name}") == name


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "docker://",
        "Team/Agent",
        "a b",
        "../a",
        "a/../b",
        "a//b",
        "a:",
        "a?b",
        "a%2e",
        "a@sha256:1",
        "https://h/a",
        "docker://docker://a",
        "a\n",
        "a" * 513,
    ],
)
def test_what_no_engine_would_take_is_refused_by_field(uri: str) -> None:
    with pytest.raises(Invalid, match=r"executable.uri: got .*docker://NAME:TAG"):
        image_of(uri)
