"""The package proxy against a mirror on loopback."""

from __future__ import annotations

import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.lab.packages import Cache, Mirrors, Server, lasting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Get = Callable[..., tuple[int, bytes, dict[str, str]]]

DEB = "/debian/pool/main/h/haproxy/haproxy_2.6_amd64.deb"
INDEX = "/debian/dists/bookworm/InRelease"
BODY = bytes(range(256)) * 4096


@dataclass
class Mirror:
    """A mirror that counts; `gate` holds back the second half of package files, `cut` ends them there."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    cut: bool = False

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        self.headers.append(dict(handler.headers))
        if handler.path == "/debian/moved.deb":
            handler.send_response(302)
            handler.send_header("Location", DEB)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if handler.path.startswith("/debian/missing"):
            handler.send_error(404)
            return
        if handler.headers.get("If-Modified-Since"):
            handler.send_response(304)
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.send_header("Last-Modified", "Sat, 10 Jun 2023 08:00:00 GMT")
        handler.end_headers()
        half = len(BODY) // 2
        handler.wfile.write(BODY[:half])
        if handler.path == DEB:
            self.gate.wait(10)
        if self.cut:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.wfile.write(BODY[half:])


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    made = Mirror()
    made.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield made
        made.gate.set()
        server.shutdown()


@pytest.fixture
def cache(mirror: Mirror, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "packages", Mirrors({f"127.0.0.1:{mirror.port}": "http"}, {}))


@pytest.fixture
def get(mirror: Mirror, cache: Cache) -> Iterator[Get]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def ask(path: str, host: str = "", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        url = f"http://{host or f'127.0.0.1:{mirror.port}'}{path}"
        try:
            line.request("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = line.getresponse()
            return answer.status, answer.read(), dict(answer.headers)
        finally:
            line.close()

    with Server(listening, cache) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield ask
        server.shutdown()


def test_a_package_is_fetched_once(get: Get, mirror: Mirror) -> None:
    assert [get(DEB)[:2] for _ in range(3)] == [(200, BODY)] * 3
    assert mirror.asked == [DEB]


def test_hosts_that_ask_at_once_share_one_download(get: Get, mirror: Mirror) -> None:
    mirror.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(get, DEB) for _ in range(4)]
        mirror.gate.set()
        assert [answer.result()[:2] for answer in answers] == [(200, BODY)] * 4
    assert mirror.asked == [DEB]


def test_a_host_reads_along_while_the_file_comes_in(cache: Cache, mirror: Mirror) -> None:
    mirror.gate.clear()
    url = f"http://127.0.0.1:{mirror.port}{DEB}"
    got = cache.get(url)
    assert isinstance(got, tuple)
    file, fetch = got
    assert fetch is not None
    chunks = fetch.chunks(file)
    read = b""
    while len(read) < len(BODY) // 2:
        read += next(chunks)
    assert not cache.path(url).exists(), "a file has its name only when it is whole"
    mirror.gate.set()
    assert read + b"".join(chunks) == BODY
    file.close()
    assert cache.path(url).read_bytes() == BODY


def test_a_download_that_breaks_off_is_not_kept(get: Get, mirror: Mirror, cache: Cache) -> None:
    mirror.cut = True
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(DEB)
    assert caught.value.partial == BODY[: len(BODY) // 2], "an error page must not end up in a package"
    assert list(cache.folder.iterdir()) == []
    mirror.cut = False
    assert get(DEB)[:2] == (200, BODY)
    assert len(list(cache.folder.iterdir())) == 1


def test_indexes_pass_through_with_their_dates(get: Get, mirror: Mirror, cache: Cache) -> None:
    status, body, headers = get(INDEX)
    assert (status, body) == (200, BODY)
    assert headers["Last-Modified"] == "Sat, 10 Jun 2023 08:00:00 GMT"
    assert get(INDEX, If_Modified_Since=headers["Last-Modified"])[:2] == (304, b"")
    assert mirror.asked == [INDEX, INDEX]
    assert list(cache.folder.iterdir()) == []


def test_what_the_mirror_lacks_is_said_as_the_mirror_says_it(
    get: Get,
) -> None:
    assert get("/debian/missing/InRelease")[0] == 404
    assert get("/debian/missing/pool/x.deb")[0] == 404


def test_redirects_are_followed(get: Get) -> None:
    assert get("/debian/moved.deb")[:2] == (200, BODY)


def test_this_machines_own_proxy_is_used(mirror: Mirror, tmp_path: Path) -> None:
    proxy = {"http": f"http://127.0.0.1:{mirror.port}"}
    cache = Cache(tmp_path, Mirrors({"mirror.example": "http"}, proxy))
    answer = cache.mirrors.open(f"http://mirror.example{INDEX}", {})
    assert answer.read(len(BODY)) == BODY
    answer.close()
    assert mirror.asked == [f"http://mirror.example{INDEX}"]


def test_nothing_but_the_mirrors_is_reached(get: Get, mirror: Mirror) -> None:
    assert get("/", host="192.0.2.1")[0] == 403
    assert get("/", host=f"localhost:{mirror.port}")[0] == 403
    assert mirror.asked == []


def test_a_mirror_that_is_down_is_a_bad_gateway(tmp_path: Path) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    name = f"127.0.0.1:{closed.getsockname()[1]}"
    closed.close()
    mirrors = Mirrors({name: "http"}, {})
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    with Server(listening, Cache(tmp_path, mirrors)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        for path in (DEB, INDEX):
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            line.request("GET", f"http://{name}{path}")
            assert line.getresponse().status == 502
            line.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("asked", "fetched"),
    [
        ("http://secure.example/debian/x", "https://secure.example/debian/x"),
        ("http://plain.example:8080/debian/a%2bb", "http://plain.example:8080/debian/a%2bb"),
        ("http://plain.example/debian", None),
        ("https://secure.example/debian", None),
        ("ftp://secure.example/debian", None),
        ("/debian", None),
        ("http://secure.example@evil.example/", None),
        ("", None),
        ("http://[", None),
    ],
)
def test_urls_lead_to_the_mirrors_of_this_machine_only(asked: str, fetched: str | None) -> None:
    mirrors = Mirrors({"secure.example": "https", "plain.example:8080": "http"}, {})
    assert mirrors.url(asked) == fetched


MIRRORS = Mirrors({"secure.example": "https"}, {})


@given(st.text(), st.text())
def test_no_url_gets_past_the_mirrors(before: str, after: str) -> None:
    url = MIRRORS.url(f"http://{before}secure.example{after}")
    assert url is None or urlsplit(url).netloc == "secure.example"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (DEB, True),
        ("/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/0123", True),
        (INDEX, False),
        ("/debian/dists/bookworm/main/binary-amd64/Packages.xz", False),
        ("/elsewhere/latest.deb", False),
    ],
)
def test_only_what_never_changes_is_kept(path: str, kept: bool) -> None:
    assert lasting(path) is kept
