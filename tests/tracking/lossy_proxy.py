"""An HTTP proxy that carries requests out and may lose the answer, or carry them out late."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fate = Callable[[str, str], str | float]
"""By method and path: "pass", "lose" (carried out, unanswered), or seconds: as late as that."""


class LossyProxy:
    """A context manager; ``uri`` is its address, ``fates`` what became of requests that change something."""

    def __init__(self, port: int, fate: Fate, logins: set[str | None] | None = None) -> None:
        proxy = self
        self.fate, self.fates = fate, []
        self.late: list[threading.Thread] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if logins is not None:
                    logins.add(self.headers.get("Authorization"))
                changes = self.command != "GET" and not self.path.endswith("/search")
                fate = proxy.fate(self.command, self.path) if changes else "pass"
                if changes:
                    proxy.fates.append((self.path.rsplit("/", 1)[-1], fate))
                if isinstance(fate, float):
                    late = threading.Thread(target=lambda: (time.sleep(fate), self.forward(body)))
                    late.start()
                    proxy.late.append(late)
                    time.sleep(fate / 2)
                else:
                    status, headers, content = self.forward(body)
                if fate != "pass":
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in (
                        "transfer-encoding",
                        "connection",
                        "content-length",
                        "date",
                        "server",
                    ):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "host")}
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                return answer.status, answer.getheaders(), content

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> LossyProxy:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for late in self.late:
            late.join()
        self.server.shutdown()
        self.server.server_close()
