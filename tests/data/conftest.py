"""Shared by the data tests: a cache of their own, no network, small files."""

import hashlib
import socket
from collections.abc import Callable

import pytest

from course_utils.data import cache as cache_module
from course_utils.data.cache import DataFile

LOOPBACK = {"127.0.0.1", "localhost", "::1", None}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test, chosen through COURSE_DATA."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setattr(cache_module, "_replacements", {})
    return folder


@pytest.fixture
def unplugged(monkeypatch):
    """No name but this machine's own can be looked up."""
    ask = socket.getaddrinfo

    def refuse(host, *args, **kwargs):
        if host in LOOPBACK:
            return ask(host, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def describe() -> Callable[..., DataFile]:
    """A function that describes a file by its content, as a recipe would."""

    def make(content: bytes, *sources: object, path: str = "letters/a.txt") -> DataFile:
        return DataFile(path, hashlib.sha256(content).hexdigest(), len(content), sources)

    return make
