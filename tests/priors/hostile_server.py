"""A web server on this machine that truncates, stalls, lies and redirects in circles, by the first word of a path."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """The address, what was asked for, and a switch that ends stalling."""

    address: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


def handler(content: bytes, server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = self.path.split("/")[1]
            wanted = self.headers.get("Range", "")
            server.asked.append((kind, wanted))
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and kind != "forgetful" else 0
            {
                "circle": lambda: self.redirect(f"/circle/{len(server.asked)}.safetensors"),
                "same": lambda: self.redirect(self.path),
                "file": lambda: self.redirect("file:///etc/passwd"),
                "away": lambda: self.redirect("/good/x.safetensors"),
                "none": lambda: self.send_error(404),
                "busy": lambda: self.send_error(503) if len(server.asked) < 3 else self.body(content, 0),
                "wrong": lambda: self.body(content[:-1] + bytes([content[-1] ^ 1]), begin),
                "empty": lambda: self.body(b"", 0),
            }.get(kind, lambda: self.plain(kind, begin))()

        def redirect(self, where: str) -> None:
            self.send_response(302)
            self.send_header("Location", where)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def body(self, data: bytes, begin: int, length: int | None = None, said: str = "") -> None:
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", said or f"bytes {begin}-{len(data) - 1}/{len(data)}")
            if length != -1:
                self.send_header("Content-Length", str(len(data) - begin if length is None else length))
            self.end_headers()
            self.wfile.write(data[begin:])

        def plain(self, kind: str, begin: int) -> None:
            rest = len(content) - begin
            if kind == "truncates":  # a third of the file at a time
                self.send_response(206 if begin else 200)
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(rest))
                self.end_headers()
                self.wfile.write(content[begin : begin + len(content) // 3 + 1])
            elif kind == "long":  # says more than it sends
                self.body(content, 0, len(content) + 5)
            elif kind == "short":  # says less than it is
                self.body(content, 0, len(content) - 5)
            elif kind == "huge":
                self.body(content, 0, 1 << 60)
            elif kind == "unsaid":
                self.body(content, 0, -1)
            elif kind == "shifted" and begin:  # another part than it was asked for
                self.body(content, begin, said=f"bytes {begin - 1}-{len(content) - 1}/{len(content)}")
            elif kind == "over" and begin:
                self.send_error(416)
            elif kind in ("stalls", "drips"):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:10])
                for i in range(10, 200):
                    if server.over.wait(0.05):
                        return
                    if kind == "drips":
                        self.wfile.write(content[i : i + 1])
            elif kind == "garbage":
                self.wfile.write(b"\0\1\2 this is not HTTP\r\n\r\n")
            elif kind == "endless":
                self.send_response(200)
                self.end_headers()
                while not server.over.wait(0.0):
                    self.wfile.write(bytes(1 << 16))
                    time.sleep(0)
            else:
                self.body(content, begin)

        def log_message(self, *words: object) -> None:
            """Nothing is printed."""

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no news."""


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """Serve one file in many ways."""
    server = Server("")
    found = _Quiet(("127.0.0.1", 0), handler(content, server))
    server.address = f"http://127.0.0.1:{found.server_port}"
    thread = threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        found.shutdown()
        found.server_close()
        thread.join()
