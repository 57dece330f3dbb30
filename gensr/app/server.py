"""The server: what it hands out, to whom, and that no page of it can ask anybody else for anything."""

from __future__ import annotations

import os
import signal
import socket
import warnings
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from gensr.app.crew import Crew
from gensr.app.sessions import Sessions
from gensr.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Environment in which Gradio and what it brings tell nobody anything."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; media-src 'self' blob:; object-src 'none'; "
    "worker-src 'self' blob:; frame-src 'none'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
"""Content Security Policy: a browser refuses every address but this server's."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-dns-prefetch-control": "off",
}
ROUTES = (
    "/assets/",
    "/static/",
    "/svelte/",
    "/results/",
    "/gradio_api/upload",
    "/gradio_api/queue/",
    "/gradio_api/run/",
    "/gradio_api/heartbeat/",
)
"""Beginnings of addresses that a visitor needs; Gradio has others, which are closed here."""
PAGES = (
    "/",
    "/config",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/gradio_api/info",
    "/gradio_api/startup-events",
    "/gradio_api/app_id",
    "/gradio_api/reset",
    "/gradio_api/cancel",
)
TYPES = {".png": "image/png", ".json": "application/json"}
"""Types that are named; everything else is bytes."""


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Attributes:
        host: address to listen at.
        port: to listen at, 0 for any that is free.
        answers: that are computed at once.
        upload: largest upload, MiB.
        minutes: without a sign of life after which a session ends.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    answers: int = 2
    upload: int = 256
    minutes: int = 60

    @property
    def names(self) -> list[str]:
        """What a browser may call this server: only itself where it listens to itself, against rebinding of names."""
        return ["127.0.0.1", "localhost", "[::1]"] if self.host in LOOPBACK else ["*"]


def quiet() -> None:
    """Silence Gradio before it is imported."""
    os.environ.update(QUIET)


def application(settings: Settings, sessions: Sessions) -> Any:  # noqa: ANN401
    """The page and the results as one application (ASGI).

    Args:
        settings: see `Settings`.
        sessions: of all visitors.

    Raises:
        UsageError: Gradio is not installed.
    """
    quiet()
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.inbox)
    try:
        import gradio as gr
        from fastapi import FastAPI
        from starlette.middleware.base import BaseHTTPMiddleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise UsageError(f"the page needs Gradio ({error.name} is missing): pip install 'gensr[app]'") from error
    from starlette.requests import Request

    from gensr.app.markup import CSS
    from gensr.app.page import Page

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    def result(token: str, kind: str, name: str) -> Any:  # noqa: ANN401
        return _handed(sessions, token, kind, name)

    async def guarded(request: Request, call: Callable[[Request], Awaitable[Any]]) -> Any:  # noqa: ANN401
        from starlette.responses import PlainTextResponse

        path = request.url.path
        known = path in PAGES or (path.startswith(ROUTES) and ".." not in path)
        response = await call(request) if known else PlainTextResponse("there is nothing here", status_code=404)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if path.startswith("/results/"):
            response.headers["cache-control"] = "no-store"
        return response

    app.add_api_route("/results/{token}/{kind}/{name}", result, methods=["GET"])
    app.add_middleware(BaseHTTPMiddleware, dispatch=guarded)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.names)
    blocks = Page(sessions).build()
    blocks.queue(max_size=256, default_concurrency_limit=None, api_open=False)
    plain = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=settings.upload << 20,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=plain,
        css=CSS,
        blocked_paths=[str(Path.cwd())],
    )


def _handed(sessions: Sessions, token: str, kind: str, name: str) -> Any:  # noqa: ANN401
    """A result as a file that no browser takes for a page."""
    from starlette.responses import FileResponse, PlainTextResponse

    session = sessions.by_token(token)
    path = None if session is None else session.found(kind, name)
    if path is None or not path.is_file():
        return PlainTextResponse("there is nothing here", status_code=404)
    inline = kind == "shown"
    return FileResponse(
        path,
        media_type=TYPES.get(path.suffix, "application/octet-stream"),
        filename=None if inline else path.name,
        content_disposition_type="inline" if inline else "attachment",
    )


def listening(settings: Settings) -> socket.socket:
    """A socket that listens, before anything heavy is loaded.

    Raises:
        UsageError: the address or port cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((settings.host, settings.port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise UsageError(
            f"host={settings.host} port={settings.port}: cannot listen there ({error.strerror}); give another port="
        ) from error
    return found


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until interrupted or told to end; every upload and every answer is gone then.

    Args:
        settings: see `Settings`.
        ready: called with the address of the page.

    Raises:
        UsageError: Gradio is not installed, or the address cannot be had.
    """
    signal.signal(signal.SIGTERM, _ended)
    with (
        warnings.catch_warnings(),
        closing(listening(settings)) as bound,
        closing(Sessions(Crew(settings.answers), settings.minutes)) as sessions,
    ):
        warnings.simplefilter("ignore")  # Gradio's own, of the libraries that it brings; nothing of ours runs here
        app = application(settings, sessions)
        sessions.crew.warm()
        import uvicorn

        host, port = bound.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, server_header=False
        )
        # The server shuts down first and raises the signal again then.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])


def _ended(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
