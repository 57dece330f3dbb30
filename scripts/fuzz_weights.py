"""Mutations of what lies in zips, pickles and JSON: weights of ours and of other programs, hierarchies of Zarr."""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import warnings
import zipfile
from typing import Any

from fuzz_seeds import places, spoilt_json

from gensr.priors import weights

NUMBERS = (0, 1, 2, 3, 7, 16, 127, 128, 255, 256, 999, 32767, 32768, 65535, 65536, 10**6, 2**31 - 1, 2**31, 2**32 - 1)
OTHERS: tuple[Any, ...] = (
    None,
    -1,
    0,
    1e30,
    float("nan"),
    2**40,
    "",
    "x" * 300,
    "../a",
    [],
    {},
    [1, 2],
    True,
    "<f4",
    "|O",
    "pickle",
)


def bytes_at_random(rng: random.Random, raw: bytes) -> bytes:
    """A few bytes changed, cut out, doubled or cut off, as a bad disk does."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 16, 100))
        kind = rng.randrange(6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            data[place : place + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(NUMBERS) & 0xFFFFFFFF)
        elif rng.random() < 0.3:
            del data[place:]
    return bytes(data)


def hierarchy(rng: random.Random, raw: bytes) -> bytes:
    """Files of a zip: values in JSON, bytes of chunks, names, and what is missing."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(files))
    what = rng.randrange(8)
    try:
        told = json.loads(files[name])
        files[name] = spoilt_json(json.dumps(told), rng.choice(list(places(told))), rng.choice(OTHERS)).encode()
    except ValueError:
        files[name] = bytes_at_random(rng, files[name] or b"x")
    if what == 0:
        files[rng.choice(("../a", "/a", f"{name}/a", "c/0/0", "a\\b", name.upper()))] = files[name]
    elif what == 1:
        del files[name]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)
    return target.getvalue()


def checkpoint(rng: random.Random, raw: bytes) -> bytes:
    """A zip of PyTorch or a pickle: instructions, numbers and names; entries that are gone, doubled or renamed."""
    if raw[:2] != b"PK":
        return _pickle(rng, raw)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    place = rng.randrange(len(files)) if rng.random() < 0.5 else [n.endswith("data.pkl") for n, _ in files].index(True)
    name, content = files[place]
    what = rng.randrange(8)
    if what == 0:
        del files[place]
    elif what == 1:
        files.insert(rng.randrange(len(files)), (name, content))
    elif what == 2:
        files[place] = (rng.choice(("../a", "archive/data/9", "", "archive/code/a.py", name.upper())), content)
    else:
        files[place] = (name, (_pickle if name.endswith(".pkl") else bytes_at_random)(rng, content or b"x"))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry, data in files:
            archive.writestr(entry, data)
    return target.getvalue()


def _pickle(rng: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    places_of = [place for _, _, place in pickletools.genops(raw) if place is not None]
    place = rng.choice(places_of)
    end = min((p for p in places_of if p > place), default=len(data))
    what = rng.randrange(6)
    if what == 0:
        data[place] = ord(rng.choice(pickletools.opcodes).code)
    elif what == 1:
        data[place:place] = data[place:end] * rng.choice((1, 2, 200))
    elif what == 2:
        del data[place:end]
    elif what == 3:
        names = (
            "os\nsystem",
            "builtins\neval",
            "torch\nload",
            "numpy\nmemmap",
            "torch._utils\n_rebuild_tensor_v2",
            "a\nb",
        )
        data[place:end] = b"c" + rng.choice(names).encode() + b"\n" + rng.choice((b"", b")R", b")\x81", b"}b"))
    elif what == 4:
        data[place:end] = b"\x8a\x08" + struct.pack("<q", rng.choice((*NUMBERS, -1, 2**62, -(2**62))))
    else:
        data[place:end] = bytes_at_random(rng, bytes(data[place:end]) or b"x")
    return bytes(data)


def safetensors(rng: random.Random, raw: bytes) -> bytes:
    """JSON of the header: tensors, and configuration and card with a digest that is right for them."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    other = rng.choice((None, True, -1, 0, 1e300, 10**12, "", "x", "../x", [], {}, [[[1]]], {"a": {"b": 1}}, 0.5))
    if rng.random() < 0.3:
        inside = {key: value for key, value in header.items() if key != "__metadata__"}
        header |= json.loads(spoilt_json(json.dumps(inside), rng.choice(list(places(inside))), other))
    else:
        told = json.loads(header["__metadata__"][weights.KEY])
        place = rng.choice(list(places({"config": told["config"], "card": told["card"]})))
        told = json.loads(spoilt_json(json.dumps(told), place, other))
        if rng.random() < 0.1:
            told["config"] = json.loads('{"a":' * 60 + "1" + "}" * 60)
        header["__metadata__"][weights.KEY] = json.dumps(told)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + raw[8 + size :]


def strange_safetensors(rng: random.Random, raw: bytes) -> bytes:
    """Tensors in the header of safetensors of another program."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    text = spoilt_json(json.dumps(header), rng.choice(list(places(header))), rng.choice(OTHERS)).encode()
    return len(text).to_bytes(8, "little") + text + raw[8 + size :]
