"""Generators that are programs run only where they are trusted, as black boxes, with derivatives or without."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gensr.cli.main import main
from gensr.errors import SearchError, WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert
from gensr.priors.foreign.reading import read_foreign

NETWORK = """
import torch
from torch import nn

class Small(nn.Module):
    latent_shape = (5,)
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 6 * 4 * 4)
        self.up = nn.ConvTranspose2d(6, 3, 4, stride=4)
    def forward(self, z):
        return torch.tanh(self.up(torch.relu(self.fc(z)).reshape(-1, 6, 4, 4)))

def made():
    torch.manual_seed(3)
    return Small()

def no_network():
    return 3

def broken():
    raise OSError("no disk")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own, ``own_nets``."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_nets.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    importlib.invalidate_caches()
    yield importlib.import_module("own_nets")
    del sys.modules["own_nets"]


def quiet(function, *args, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **more)


@pytest.fixture
def script(own, tmp_path):
    network = own.made().eval()
    quiet(lambda: torch.jit.script(network).save(str(tmp_path / "net.ts")))
    return tmp_path / "net.ts"


def converted(path: Path, out: Path, **words):
    convert(read_foreign(path), Words(**{"name": "box", "latent": "5", "trust": True, **words}), out)
    return weights.load(str(out))


def test_it_is_not_run_before_it_is_trusted(script, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(WeightsError, match="it is a program and can do whatever its author likes"):
        converted(script, tmp_path / "box.safetensors", trust=False)


def test_a_script_makes_its_pictures(script, own, tmp_path):
    ours, found = converted(script, tmp_path / "box.safetensors")
    z = torch.randn(3, 5)
    assert torch.allclose(ours.synthesize({"z": z}, (16, 16)), (own.made()(z) + 1) / 2, atol=1e-6)
    assert (found.config["single"], found.config["differentiable"], found.card.bands) == (False, True, 3)
    with pytest.raises(SearchError, match="16 x 16 pixels only"):
        ours.latents((8, 8))
    uniform, _ = converted(script, tmp_path / "u.safetensors", distribution="uniform")
    want = (own.made()(torch.special.ndtr(z)) + 1) / 2
    assert torch.allclose(uniform.synthesize({"z": z}, (16, 16)), want, atol=1e-6)


def test_second_derivatives_of_a_script(script, tmp_path):
    ours, _ = converted(script, tmp_path / "box.safetensors")
    z = torch.randn(2, 5, requires_grad=True)
    (first,) = torch.autograd.grad(ours.synthesize({"z": z}, (16, 16)).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), z)
    assert bool(second.isfinite().all())
    assert float(second.abs().max()) > 0


def test_another_machine_must_trust_it_too(script, tmp_path, monkeypatch, capsys):
    converted(script, tmp_path / "box.safetensors")
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "other"))
    weights._loaded.cache_clear()
    with pytest.raises(WeightsError, match="Not trusted here; if you trust who made it: gensr models add"):
        weights.load(str(tmp_path / "box.safetensors"))
    assert main(["models", "add", str(tmp_path / "box.safetensors"), "trust=true"]) == 0
    assert "can do whatever its author likes" in capsys.readouterr().err
    assert weights.load("box")[0].card.name == "box"


def test_bytes_that_were_exchanged_are_noticed(script, tmp_path):
    _, found = converted(script, tmp_path / "box.safetensors")
    other = {**found.tensors, "program": found.tensors["program"].flip(0)}
    weights.save(tmp_path / "other.safetensors", other, found.config, found.card)
    with pytest.raises(WeightsError, match="another program than its header says"):
        weights.load(str(tmp_path / "other.safetensors"))
    config = {**found.config, "kind": "module", "module": "os:system"}
    weights.save(tmp_path / "third.safetensors", {"state.a": torch.zeros(1)}, config, found.card)
    with pytest.raises(WeightsError, match="another program than its header says"):
        weights.load(str(tmp_path / "third.safetensors"))
    from gensr.generators.program.family import digest_of
    from gensr.generators.program.running import Program

    honest = {**config, "program": digest_of(Program("module", module="os:system"))}
    weights.save(tmp_path / "fourth.safetensors", {"state.a": torch.zeros(1)}, honest, found.card)
    with pytest.raises(WeightsError, match="Not trusted here"):
        weights.load(str(tmp_path / "fourth.safetensors"))


def test_nothing_to_trust(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    shipped = str(weights.find("gaussian-faces"))
    assert main(["models", "add", shipped, "name=mine", "trust=true"]) == 1
    assert "holds no program, so there is nothing to trust" in capsys.readouterr().err


def upsampled(tmp_path, generator, *words) -> dict:
    values = np.random.default_rng(1).integers(110, 140, (4, 4, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "face.png")
    out = tmp_path / "out"
    asked = ["factor=4", "samples=1", "noise=40", "search=fast", "search.steps=5", f"output={out}", *words]
    assert main(["upsample", str(tmp_path / "face.png"), f"generator={generator}", *asked]) == 0
    assert np.asarray(Image.open(out / "face_x4_generated.png")).shape == (16, 16, 3)
    return json.loads(next(out.glob("*.json")).read_text())


def test_convert_and_upsample_a_script(script, tmp_path, capsys):
    out = tmp_path / "box.safetensors"
    assert main(["models", "convert", str(script), f"out={out}", "latent=5"]) == 1
    assert "add trust=true" in capsys.readouterr().err
    assert main(["models", "convert", str(script), f"out={out}", "latent=5", "trust=true"]) == 0
    said = capsys.readouterr().err
    assert "trusted on this machine from now on: it is a program and can do whatever its author likes" in said
    assert upsampled(tmp_path, out)["latent search"]["solver"] != "evolution"


def test_code_of_the_user_s_own(own, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    assert main(["models", "convert", "own_nets:made", f"out={out}"]) == 2
    assert "if it is yours, or you trust it, add trust=true" in capsys.readouterr().err
    assert main(["models", "convert", "own_nets:made", f"out={out}", "trust=true"]) == 0
    ours, found = weights.load(str(out))
    z = torch.randn(2, 5)
    assert torch.equal(ours.synthesize({"z": z}, (16, 16)), (own.made()(z) + 1) / 2)
    assert torch.equal(found.tensors["state.fc.weight"], own.made().fc.weight)
    assert "own_nets.py" not in found.card.source
    assert "own_nets:made (module), sha256" in found.card.source
    upsampled(tmp_path, out)
    for wrong, words in (
        ("own_nets:nothing", "has no attribute"),
        ("own_nets:no_network", "gave int, expected a torch.nn.Module"),
        ("own_nets:broken", "no disk"),
        ("no_such_module:x", "no module no_such_module"),
        ("no.such.package:x", "cannot be found"),
    ):
        assert main(["models", "convert", wrong, f"out={tmp_path / 'x.safetensors'}", "trust=true"]) == 1
        assert words in capsys.readouterr().err


def test_an_exported_program(own, tmp_path):
    pytest.importorskip("torch.export")
    network = own.made().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    for name, shapes, single in (("any", {"z": {0: batch}}, False), ("one", None, True)):
        z = torch.zeros(2 if shapes else 1, 5)
        program = quiet(torch.export.export, network, (z,), dynamic_shapes=shapes)
        quiet(torch.export.save, program, str(tmp_path / f"{name}.pt2"))
        assert read_foreign(tmp_path / f"{name}.pt2").kind == "torch-export"
        ours, found = quiet(converted, tmp_path / f"{name}.pt2", tmp_path / f"{name}.safetensors")
        assert found.config["single"] == single
        z = torch.randn(3, 5)
        assert torch.allclose(ours.synthesize({"z": z}, (16, 16)), (network(z) + 1) / 2, atol=1e-6)


def test_onnx_is_searched_without_derivatives(own, tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="needs the extra gensr[onnx]")
    onnx = pytest.importorskip("onnx", reason="needs onnx, to make a file")
    state = {k: t.numpy() for k, t in own.made().state_dict().items()}
    h, numpy = onnx.helper, onnx.numpy_helper
    constants = [numpy.from_array(t, k) for k, t in state.items()]
    constants.append(numpy.from_array(np.array([-1, 6, 4, 4], np.int64), "shape"))
    nodes = [
        h.make_node("Gemm", ["z", "fc.weight", "fc.bias"], ["a"], transB=1),
        h.make_node("Relu", ["a"], ["b"]),
        h.make_node("Reshape", ["b", "shape"], ["c"]),
        h.make_node("ConvTranspose", ["c", "up.weight", "up.bias"], ["d"], strides=[4, 4]),
        h.make_node("Tanh", ["d"], ["image"]),
    ]
    value = h.make_tensor_value_info
    inputs, outputs = [value("z", 1, ["n", 5])], [value("image", 1, ["n", 3, 16, 16])]
    graph = h.make_graph(nodes, "net", inputs, outputs, constants)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(tmp_path / "net.onnx"))
    assert read_foreign(tmp_path / "net.onnx").kind == "onnx"
    ours, found = converted(tmp_path / "net.onnx", tmp_path / "box.safetensors")
    z = torch.randn(3, 5)
    assert torch.allclose(ours.synthesize({"z": z}, (16, 16)), (own.made()(z) + 1) / 2, atol=1e-5)
    assert not found.config["differentiable"]
    report = upsampled(tmp_path, tmp_path / "box.safetensors")
    assert report["latent search"]["solver"] == "evolution"
    for words in (["search=pulse"], ["search.solver=adam"], ["search.rate=0.1"]):
        asked = [str(tmp_path / "face.png"), f"generator={tmp_path / 'box.safetensors'}", "factor=4", *words]
        assert main(["upsample", *asked, f"output={tmp_path / 'no'}"]) == 1
        assert "has no derivatives" in capsys.readouterr().err


class Noisy(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.rand(z.shape[0], 1, 4, 4) + z.sum()


class Mixing(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (z - z.mean(0, keepdim=True) + z.sum()).reshape(-1, 1, 1, 5)


class Flat(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z


class Crash(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        raise ValueError("not today")


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Noisy(), "makes other images of the same latents each time"),
        (Flat(), r"makes \(2, 5\) of two latents"),
        (Crash(), "fails on latents of shape"),
    ],
)
def test_programs_that_are_no_generators(own, tmp_path, network, words):
    quiet(lambda: torch.jit.script(network).save(str(tmp_path / "net.ts")))
    with pytest.raises(WeightsError, match=words):
        converted(tmp_path / "net.ts", tmp_path / "box.safetensors")


def test_images_that_influence_each_other_are_made_one_by_one(own, tmp_path):
    quiet(lambda: torch.jit.script(Mixing()).save(str(tmp_path / "net.ts")))
    ours, found = converted(tmp_path / "net.ts", tmp_path / "box.safetensors")
    assert found.config["single"]
    z = torch.randn(3, 5)
    assert torch.equal(ours.synthesize({"z": z}, (1, 5))[1:2], ours.synthesize({"z": z[1:2]}, (1, 5)))


def test_files_that_do_not_start(own, script, tmp_path):
    (tmp_path / "cut.ts").write_bytes(script.read_bytes()[:-200])
    with pytest.raises(WeightsError):
        converted(tmp_path / "cut.ts", tmp_path / "box.safetensors")
    with pytest.raises(WeightsError, match="give the shape of its latents"):
        converted(script, tmp_path / "box.safetensors", latent="")
    with pytest.raises(WeightsError, match="expected a length such as 64"):
        converted(script, tmp_path / "box.safetensors", latent="5,5")
