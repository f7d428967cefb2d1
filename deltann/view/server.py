"""An HTTP server of this machine alone: the list of runs at `/`, a run's report at `/run/NAME`.

Whoever may read the run's files may ask it, and nobody else: it listens on 127.0.0.1, refuses requests that name
another host (a page of a stranger whose name was made to point here), and serves nothing but runs that it lists.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import threading
import traceback
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from deltann.errors import UsageError, one_line
from deltann.report.text import printable
from deltann.view.listing import Listed, Verdicts, runs_in

if TYPE_CHECKING:
    import jinja2

ADDRESS = "127.0.0.1"
_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'"
_BACK = '<p><a href="/">All runs</a></p>'
"""What the page of a run has here and nowhere else; a link is not a thing that its policy speaks of."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves the runs of `folder`; `url` is where."""

    def __init__(self, folder: Path, port: int) -> None:
        """Raise UsageError where the folder cannot be listed, or the port not be had."""
        runs_in(folder)
        self.folder = folder
        self.verdicts = Verdicts()
        self.drawing = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            why = "it is in use" if used else f"{error.strerror}"
            raise UsageError(f"cannot listen on port {port}: {why}; choose another --port (0: any)") from error

    @property
    def url(self) -> str:
        """Of the list."""
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> set[str]:
        """What a browser that was given the address may call it."""
        names = (ADDRESS, "localhost")
        return {f"{name}:{self.server_port}" for name in names} | (set(names) if self.server_port == 80 else set())

    @cached_property
    def template(self) -> jinja2.Template:
        """Of the list."""
        import jinja2

        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
        environment.filters["printable"] = printable
        return environment.from_string(files("deltann.view").joinpath("templates/runs.jinja").read_text("utf-8"))

    @cached_property
    def style(self) -> str:
        """Of the list."""
        return files("deltann.view").joinpath("templates/runs.css").read_text("utf-8")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30
    """Seconds that a client may say nothing."""
    server_version = "deltann"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page."""
        if self.headers.get("Host") not in self.server.hosts:
            self._tell(HTTPStatus.MISDIRECTED_REQUEST, f"this server is {self.server.url} and no other")
            return
        path = self.path.partition("?")[0]
        try:
            if path == "/":
                self._list()
            elif path.startswith("/run/"):
                self._report(os.fsdecode(unquote_to_bytes(path.removeprefix("/run/"))))
            else:
                self._tell(HTTPStatus.NOT_FOUND, "no such page")
        except UsageError as error:
            self._tell(HTTPStatus.NOT_FOUND, str(error))
        except (BrokenPipeError, ConnectionResetError):
            pass  # The browser went elsewhere.
        except Exception as error:
            traceback.print_exc()
            self._tell(HTTPStatus.INTERNAL_SERVER_ERROR, f"deltann itself failed: {one_line(str(error))}")

    do_HEAD = do_GET

    def _refuse(self) -> None:
        self._tell(HTTPStatus.METHOD_NOT_ALLOWED, "runs can only be read", {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _list(self) -> None:
        listed = runs_in(self.server.folder)
        verdicts = self.server.verdicts.of(listed)
        digest = base64.b64encode(hashlib.sha256(self.server.style.encode()).digest()).decode()
        page = self.server.template.render(
            folder=str(self.server.folder),
            listed=listed,
            verdicts=verdicts,
            address=_address,
            style=self.server.style,
        )
        self._send(HTTPStatus.OK, page, f"{_CLOSED}; style-src 'sha256-{digest}'")

    def _report(self, name: str) -> None:
        from deltann.report.contents import load_contents
        from deltann.report.html import policy, to_html

        # Names are looked up among those that are listed, never put together to a path.
        found = {listed.name: listed for listed in runs_in(self.server.folder)}.get(name)
        if found is None:
            raise UsageError("no such run here")
        if found.run is None:
            raise UsageError(found.problem)
        with self.server.drawing:  # matplotlib is not made for several threads
            page = to_html(load_contents(found.folder))
        self._send(HTTPStatus.OK, page.replace("<body>", f"<body>\n{_BACK}", 1), policy())

    def _tell(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, f"{printable(text)}\n", _CLOSED, "text/plain", headers)

    def _send(
        self, status: HTTPStatus, text: str, policy: str, kind: str = "text/html", headers: dict[str, str] | None = None
    ) -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(status)
        own = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        }
        for key, value in {**own, **_HEADERS, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request: the terminal is for what is wrong."""


def _address(listed: Listed) -> str:
    return f"/run/{quote(os.fsencode(listed.name))}"
