"""Checkpoints of other programs are read to the bit, from every layout, and nothing of them is run."""

import argparse
import io
import pickle
import re
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Part
from gensr.priors.foreign.reading import read_foreign

TENSORS = {
    "conv.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2),
    "half": torch.randn(5, generator=torch.Generator().manual_seed(1)).half(),
    "brain": torch.ones(3, dtype=torch.bfloat16) / 3,
    "count": torch.tensor(3),
    "flag": torch.tensor([True, False]),
    "turned": torch.arange(6, dtype=torch.float64).reshape(2, 3).T,
    "empty": torch.zeros(0, 4),
}


def same(part: Part, tensors=TENSORS) -> bool:
    assert set(part.tensors) == set(tensors)
    for name, tensor in tensors.items():
        found = part.tensors[name].read()
        assert found.dtype == tensor.dtype, name
        assert torch.equal(found, tensor), name
    return True


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_state_dicts_of_torch(tmp_path, zipped, protocol):
    path = tmp_path / "model.safetensors"  # the ending says nothing
    torch.save(OrderedDict(TENSORS), path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found = read_foreign(path)
    assert found.kind == ("torch-zip" if zipped else "torch-legacy")
    assert same(found.parts[0])


def test_safetensors(tmp_path):
    plain = {k: v.contiguous() for k, v in TENSORS.items()}
    save_file(plain, tmp_path / "model.pt", metadata={"config": "{}"})
    found = read_foreign(tmp_path / "model.pt")
    assert (found.kind, found.metadata) == ("safetensors", {"config": "{}"})
    assert same(found.parts[0])


def test_a_zip_that_was_packed_again(tmp_path):
    torch.save(TENSORS, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert same(read_foreign(tmp_path / "b.pt").parts[0])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_pickles_with_arrays(tmp_path, protocol):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(4, dtype=">f4"),
    }
    said = {"params": arrays, "epoch": np.int64(7), "loss": np.float32(0.5), "who": {"a", "b"}, "text": "é"}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(said, protocol))
    found = read_foreign(tmp_path / "a.pkl")
    assert same(found.parts[0], {k: torch.from_numpy(v.astype(v.dtype.newbyteorder("="))) for k, v in arrays.items()})
    assert (found.root["epoch"], found.root["loss"], found.root["text"]) == (7, 0.5, "é")


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_tensors_inside_plain_pickles_are_files_of_their_own(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": {k: TENSORS[k] for k in ("half", "turned")}}, protocol))
    found = read_foreign(tmp_path / "a.pkl")
    assert found.parts[0].place == "G_ema"
    assert same(found.parts[0], {k: TENSORS[k] for k in ("half", "turned")})


def test_shared_and_sliced_storages(tmp_path):
    whole = torch.arange(10.0)
    tensors = {"whole": whole, "tied": whole, "part": whole[2:8:2]}
    for zipped in (True, False):
        torch.save(tensors, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        assert same(read_foreign(tmp_path / "a.pt").parts[0], tensors)


class Stranger(nn.Module):
    """A network whose class nobody has installed when it is read."""

    def __init__(self):
        super().__init__()
        self.z_dim, self.name = 4, "stranger"
        self.layer = nn.Linear(4, 2)
        self.register_buffer("mean", torch.ones(3))


def test_whole_networks_of_unknown_classes(tmp_path):
    network = Stranger()
    for zipped in (True, False):
        torch.save({"netG": network, "D": Stranger()}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        found = read_foreign(tmp_path / "a.pt")
        part = found.parts[0]
        assert (part.place, part.class_name) == ("netG", "Stranger")
        assert part.kwargs["z_dim"] == 4
        assert part.kwargs["layer.in_features"] == 4
        assert same(part, network.state_dict())
        assert any("Stranger" in note for note in found.notes)


def test_snapshots_of_training_keep_what_is_plain(tmp_path):
    network = nn.Linear(2, 2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    said = {
        "d": network.state_dict(),
        "g_optim": optimiser.state_dict(),
        "g_ema": nn.DataParallel(network).state_dict(),
        "args": argparse.Namespace(size=256, mixing=0.9),
        "device": torch.device("cpu"),
        "shape": torch.Size([1, 2]),
    }
    torch.save(said, tmp_path / "a.pt")
    found = read_foreign(tmp_path / "a.pt")
    assert found.parts[0].place == "g_ema"
    assert {"module.weight", "module.bias"} == set(found.parts[0].tensors)
    (stripped,) = (p for p in found.parts if p.place == "g_ema (module.)")
    assert same(stripped, network.state_dict())
    assert found.root["args"].attributes == {"size": 256, "mixing": 0.9}


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def touched(path):
    """Would leave a trace."""
    path.write_text("run")


def test_the_offending_global_is_named(tmp_path):
    import os

    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"w": Call(os.system, "true")}))
    with pytest.raises(WeightsError, match=r"(posix|nt)\.system"):
        read_foreign(tmp_path / "a.pkl")
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2), "x": Call(touched, tmp_path / "trace")}, buffer)
    (tmp_path / "b.pt").write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError, match=re.escape("test_foreign.touched")):
        read_foreign(tmp_path / "b.pt")
    assert not (tmp_path / "trace").exists()
