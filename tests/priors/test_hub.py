"""Folders of the hub, from a hub that is made here: pinned to a commit, data alone, every digest compared."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gensr.errors import WeightsError
from gensr.priors import hub

pytest.importorskip("huggingface_hub", reason="needs the extra gensr[hub]")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "model_index.json": b'{"_class_name": "DDPMPipeline"}',
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": bytes(range(256)) * 40,
    "unet/diffusion_pytorch_model.bin": b"\x80\x04.",
    "pipeline.py": b"raise SystemExit",
    "README.md": b"# a model",
}


@dataclass
class Hub:
    address: str
    asked: list[str] = field(default_factory=list)
    spoilt: str = ""


def sibling(name: str, content: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith((".safetensors", ".bin")):
        found["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 130}
    return found


@pytest.fixture
def server() -> Iterator[Hub]:
    """What the hub answers to its client, as far as it is needed here."""
    found = Hub("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self, body: bool = True) -> None:
            found.asked.append(self.path)
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/owner/name"):
                files = [sibling(name, content) for name, content in FILES.items()]
                page = {"id": "owner/name", "sha": COMMIT, "siblings": files, "cardData": {"license": "mit"}}
                self.answer(json.dumps(page).encode(), "application/json", body)
                return
            name = path.removeprefix(f"/owner/name/resolve/{COMMIT}/")
            if name not in FILES:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = FILES[name]
            self.answer(content[:-1] + b"?" if name == found.spoilt else content, "application/octet-stream", body)

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def answer(self, content: bytes, kind: str, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        found.address = f"http://127.0.0.1:{serving.server_port}"
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield found
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    monkeypatch.delenv("HF_TOKEN", raising=False)


def names(folder: Path) -> set[str]:
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return {p.as_posix() for p in found if not p.parts[0].startswith(".")}


def test_a_folder_without_its_code(server: Hub, tmp_path: Path) -> None:
    found = hub.pull("hf://owner/name", tmp_path, endpoint=server.address)
    assert (found.commit, found.licence) == (COMMIT, "mit")
    assert names(found.path) == set(FILES) - {"pipeline.py", "unet/diffusion_pytorch_model.bin"}
    assert not any(p.is_symlink() for p in found.path.rglob("*"))
    asked = len(server.asked)
    assert hub.pull("hf://owner/name", tmp_path, offline=True) == found
    assert len(server.asked) == asked


def test_one_part(server: Hub, tmp_path: Path) -> None:
    found = hub.pull("hf://owner/name@main/unet", tmp_path, endpoint=server.address)
    assert names(found.path) == {"config.json", "diffusion_pytorch_model.safetensors"}
    one = hub.pull("hf://owner/name/unet/diffusion_pytorch_model.bin", tmp_path, endpoint=server.address)
    assert one.path.read_bytes() == FILES["unet/diffusion_pytorch_model.bin"]


@pytest.mark.parametrize("spoilt", ["unet/diffusion_pytorch_model.safetensors", "model_index.json"])
def test_other_bytes_than_the_hub_states(server: Hub, spoilt: str, tmp_path: Path) -> None:
    server.spoilt = spoilt
    with pytest.raises(WeightsError, match=f"{spoilt} has the digest"):
        hub.pull("hf://owner/name", tmp_path, endpoint=server.address)
    assert not list(tmp_path.rglob(Path(spoilt).name))


def test_nothing_of_use(server: Hub, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights there; files: README\.md"):
        hub.pull("hf://owner/name/README.md", tmp_path, endpoint=server.address)


def test_more_than_the_limits(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENSR_LIMIT", "0.000001")
    with pytest.raises(WeightsError, match=r"name one file or folder of it: hf://owner/name/PATH"):
        hub.pull("hf://owner/name", tmp_path, endpoint=server.address)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be fetched"):
        hub.pull("hf://owner/name", tmp_path, endpoint="http://127.0.0.1:9")
