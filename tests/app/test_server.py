"""What the server hands out, to whom, and how it begins and ends."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest

from gensr.app.command import main
from gensr.app.server import ROUTES, Settings
from gensr.errors import UsageError


def asked(address, headers=None, data=None):
    """Status, headers and text of an answer."""
    request = urllib.request.Request(address, data, headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode(errors="replace")


def test_the_page_forbids_every_other_address(served):
    status, headers, text = asked(served.address)
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert not any("http" in sources or "*" in sources for sources in policy.values())
    assert headers["x-content-type-options"] == "nosniff"
    assert "is_space" in text or "gradio_config" in text
    for tag in ('src="http', "src='http", '<link rel="preconnect"', 'href="https://fonts'):
        assert tag not in text


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=pyproject.toml",
        "file=/etc/passwd",
        "gradio_api/proxy=http://example.org",
        "gradio_api/deep_link",
        "gradio_api/component_server",
        "monitoring",
        "results/abc/answer/x.tif",
        "results/..%2f..%2fetc/answer/passwd",
        "docs",
        "openapi.json",
        "assets/../gradio_api/file=/etc/passwd",
        "assets/%2e%2e/%2e%2e/__init__.py",
    ],
)
def test_nothing_else_is_handed_out(served, path):
    status, _, text = asked(served.address + path)
    assert status in (403, 404, 405)
    assert "root:" not in text
    assert "import" not in text


def test_a_name_that_points_here_is_not_enough(served):
    """Another site whose name leads to this machine gets nothing (rebinding of names)."""
    assert asked(served.address, {"Host": "evil.example:80"})[0] == 400


def test_another_site_cannot_read_or_order(served):
    origin = {"Origin": "http://evil.example"}
    _, headers, _ = asked(served.address + "config", origin)
    assert headers.get("access-control-allow-origin") not in ("*", "http://evil.example")


def test_uploads_are_limited(served):
    boundary = "xxxx"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="big.tif"\r\n'
        "Content-Type: image/tiff\r\n\r\n"
    ).encode() + bytes(3 << 20)
    body += f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert asked(served.address + "gradio_api/upload", headers, body)[0] == 413
    assert not [p for p in served.temporary.rglob("big.tif") if p.stat().st_size]


def test_every_route_is_below_the_root():
    assert all(route.startswith("/") and route != "/" for route in ROUTES)
    assert Settings().names == ["127.0.0.1", "localhost", "[::1]"]
    assert Settings(host="0.0.0.0").names == ["*"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["port=99999"], "0 to 65535"),
        (["answers=0"], "1 to 64"),
        (["upload=-1"], "1 to 65536"),
        (["minutes=soon"], "1 to 10080"),
        (["host="], "expected an address"),
        (["prot=80"], "did you mean 'port'"),
        (["photo.png"], "drop images on the page"),
        (["host=256.1.1.1"], "cannot listen|not known|Name or service"),
    ],
)
def test_wrong_words_are_refused_by_name(words, said):
    with pytest.raises(UsageError, match=said):
        main(words)


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="give another port="):
            main([f"port={taken.getsockname()[1]}"])


def test_help_says_what_it_is_for(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "Not for identification" in text
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.skipif(find_spec("gradio") is None, reason="the extra app is not installed")
def test_without_gradio_the_extra_is_named():
    """An installation without the extra, seen by a process in which Gradio cannot be imported."""
    code = (
        "import sys; sys.modules['gradio'] = None; from gensr.cli.main import main; sys.exit(main(['serve', 'port=0']))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'gensr[app]'" in done.stderr
