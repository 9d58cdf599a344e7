"""The lab's package proxy: brings Debian packages to hosts that reach nothing else.

Listens inside the lab's network, fetches from outside it, and only from the mirrors that this machine's apt uses.
Package files never change under their name, so each is fetched once and kept for all labs; indexes pass through.
Run as a program: `python -m hakit.lab.packages LISTENING-FD` with the settings as JSON on stdin; ends with SIGTERM.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK: Final = 1 << 16
UPSTREAM_TIMEOUT: Final = 30.0
"""Seconds without a byte from a mirror: as apt's own Acquire::http::Timeout."""
HANDED_ON: Final = ("If-Modified-Since", "Range", "If-Range", "Cache-Control", "User-Agent")
HANDED_BACK: Final = ("Content-Type", "Content-Length", "Content-Range", "Last-Modified", "ETag", "Date")


class Answer(Protocol):
    """What urllib's open returns, as far as it is used here."""

    status: int
    headers: Mapping[str, str]

    def read(self, amount: int, /) -> bytes:
        """Up to `amount` bytes; empty at the end."""

    def close(self) -> None:
        """Hang up."""


class Mirrors:
    """The way out: mirrors by host with their scheme, this machine's own proxies, its certificates."""

    def __init__(self, schemes: Mapping[str, str], proxies: Mapping[str, str], ca_file: str | None = None) -> None:
        self._schemes = dict(schemes)
        context = ssl.create_default_context(cafile=ca_file)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(dict(proxies)), urllib.request.HTTPSHandler(context=context)
        )

    def url(self, asked: str) -> str | None:
        """The URL to fetch for a URL that a host asks for by http; None when it is on none of the mirrors."""
        try:
            parts = urlsplit(asked)
        except ValueError:
            return None
        scheme = self._schemes.get(parts.netloc)
        if parts.scheme != "http" or scheme is None:
            return None
        return parts._replace(scheme=scheme).geturl()

    def open(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask a mirror; an answer that is an error is an answer too. Raises OSError when none comes."""
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http(s) only, see `url`
        try:
            answer: Answer = self._opener.open(request, timeout=UPSTREAM_TIMEOUT)
        except urllib.error.HTTPError as error:
            return error  # type: ignore[return-value]  # an HTTPError is the response itself
        return answer


def lasting(path: str) -> bool:
    """Whether what a path names never changes: package files, and indexes named by their hash."""
    return (path.endswith((".deb", ".udeb")) and "/pool/" in path) or "/by-hash/" in path


class Fetch:
    """A file on its way into the cache; any number of hosts read along while it comes in."""

    def __init__(self, target: Path, length: int | None) -> None:
        self.length = length
        self._target = target
        self._part = target.with_name(f"{target.name}.{os.getpid()}.part")
        self._file = self._part.open("wb")
        self._change = threading.Condition()
        self._size = 0
        self._ended = False
        self.failed: str | None = None

    def fill(self, answer: Answer) -> None:
        """Take in the mirror's answer to its end; the file gets its name only when it is whole."""
        problem: str | None = None
        try:
            while data := answer.read(CHUNK):
                self._file.write(data)
                self._file.flush()
                with self._change:
                    self._size += len(data)
                    self._change.notify_all()
            if self.length is not None and self._size != self.length:
                problem = f"{self._size} of {self.length} bytes"
        except OSError as error:
            problem = str(error)
        finally:
            answer.close()
            self._file.close()
        if problem is None:
            self._part.replace(self._target)
        else:
            self._part.unlink(missing_ok=True)
        with self._change:
            self.failed = problem
            self._ended = True
            self._change.notify_all()

    def reader(self) -> IO[bytes]:
        """The file's beginning, open for reading; stays valid when the file gets its name. Raises OSError."""
        try:
            return self._part.open("rb")
        except FileNotFoundError:
            return self._target.open("rb")

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        """The content as it comes in. Raises OSError when the mirror fails on the way."""
        sent = 0
        while True:
            with self._change:
                while self._size <= sent and not self._ended:
                    self._change.wait()
                ended, failed = self._ended, self.failed
            data = file.read(CHUNK)
            sent += len(data)
            if data:
                yield data
            elif failed:
                raise OSError(failed)
            elif ended and sent == self._size:
                return


class Cache:
    """Lasting files by the hash of their URL, and those on their way."""

    def __init__(self, folder: Path, mirrors: Mirrors) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.mirrors = mirrors
        self._lock = threading.Lock()
        self._coming: dict[str, Fetch] = {}
        self._asking: dict[str, threading.Lock] = {}

    def path(self, url: str) -> Path:
        """Where a URL's content is kept."""
        return self.folder / hashlib.sha256(url.encode()).hexdigest()

    def get(self, url: str) -> tuple[IO[bytes], Fetch | None] | Answer:
        """A lasting URL's content: a whole file, or one that still comes in; else the mirror's answer, an error.

        Raises OSError when the mirror does not answer.
        """
        with self._lock:
            asking = self._asking.setdefault(url, threading.Lock())
        with asking:
            # In this order: a file has its name before it is no longer on its way.
            fetch = self._coming.get(url)
            if fetch is None:
                with suppress(FileNotFoundError):
                    return self.path(url).open("rb"), None
                answer = self.mirrors.open(url, {})
                if answer.status != 200:  # noqa: PLR2004 - OK
                    return answer
                length = answer.headers.get("Content-Length")
                fetch = self._coming[url] = Fetch(self.path(url), int(length) if length else None)
                file = fetch.reader()
                threading.Thread(target=self._fill, args=(url, fetch, answer), daemon=True).start()
                return file, fetch
            return fetch.reader(), fetch

    def _fill(self, url: str, fetch: Fetch, answer: Answer) -> None:
        fetch.fill(answer)
        del self._coming[url]


class Handler(BaseHTTPRequestHandler):
    """Answers apt on a lab's host."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    cache: Cache
    _begun = False

    def do_GET(self) -> None:
        """Answer a request in proxy form: `GET http://mirror/path`."""
        self._begun = False
        url = self.cache.mirrors.url(self.path)
        if url is None:
            self.send_error(403, "Not one of the mirrors of the machine that the lab runs on")
            return
        try:
            if lasting(urlsplit(url).path):
                self._lasting(url)
            else:
                headers = {name: self.headers[name] for name in HANDED_ON if name in self.headers}
                self._pass(self.cache.mirrors.open(url, headers))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except OSError as error:
            self.log_error("%s: %s", url, error)
            self._fail(error)

    def _lasting(self, url: str) -> None:
        got = self.cache.get(url)
        if not isinstance(got, tuple):
            self._pass(got)
            return
        file, fetch = got
        with file:
            length = os.fstat(file.fileno()).st_size if fetch is None else fetch.length
            self._begin(200, {"Content-Length": str(length)} if length is not None else {})
            if fetch is None:
                while data := file.read(CHUNK):
                    self.wfile.write(data)
            else:
                for data in fetch.chunks(file):
                    self.wfile.write(data)

    def _pass(self, answer: Answer) -> None:
        try:
            self._begin(answer.status, {name: answer.headers[name] for name in HANDED_BACK if name in answer.headers})
            while data := answer.read(CHUNK):
                self.wfile.write(data)
        finally:
            answer.close()

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status not in (204, 304):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def _fail(self, error: OSError) -> None:
        if not self._begun:
            self.send_error(502, "The mirror does not answer", str(error))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """A line per request on stderr, which is the lab's packages.log."""
        sys.stderr.write(f"{self.log_date_time_string()} {self.address_string()} {format % args}\n")


class Server(ThreadingHTTPServer):
    """A threading server on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, cache: Cache) -> None:
        handler = type("LabHandler", (Handler,), {"cache": cache})
        super().__init__(listening.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def main() -> None:
    """Serve until SIGTERM."""
    settings = json.load(sys.stdin)
    listening = socket.socket(fileno=int(sys.argv[1]))
    mirrors = Mirrors(settings["schemes"], settings["proxies"], settings["ca_file"])
    Server(listening, Cache(Path(settings["folder"]), mirrors)).serve_forever()


if __name__ == "__main__":
    main()
