"""Opening web addresses: no redirection leads to files of this machine, to other schemes, or from https to http."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPMessage
from typing import IO

HEADERS = {"User-Agent": "gensr", "Accept-Encoding": "identity"}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows at most ten redirections, four to the same address, and never out of encryption."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """See `urllib.request.HTTPRedirectHandler.redirect_request`."""
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme.lower() != "https":
            raise urllib.error.HTTPError(req.full_url, code, f"redirected out of https to {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> urllib.request.OpenerDirector:
    """An opener of http and https alone."""
    found = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        found.add_handler(handler)
    return found
