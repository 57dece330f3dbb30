"""Mutations of what lies in zips, pickles, JSON and protobuf: weights of all programs, hierarchies of Zarr."""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import warnings
import zipfile
from collections.abc import Iterator
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
    with warnings.catch_warnings():  # of escapes that an earlier mutation made
        warnings.simplefilter("ignore", DeprecationWarning)
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


def document(rng: random.Random, raw: bytes) -> bytes:
    """A file of JSON: one value, the depth, a key twice, or bytes."""
    what = rng.randrange(8)
    if what == 0:
        deep = rng.choice((60, 20_000))
        return b'{"a":' * deep + raw + b"}" * deep
    if what == 1:
        return bytes_at_random(rng, raw)
    told = json.loads(raw)
    if what == 2 and isinstance(told, dict) and told:
        key = rng.choice(sorted(told))
        return (
            b"{" + json.dumps(key).encode() + b":" + json.dumps(rng.choice(OTHERS)).encode() + b"," + raw.lstrip()[1:]
        )
    other = rng.choice((*OTHERS, "$import os", "@a", "os.system", 10**400, 1e-320, -0.0, 2**31))
    return spoilt_json(raw.decode(), rng.choice(list(places(told))), other).encode()


def protobuf(rng: random.Random, raw: bytes, depth: int = 0) -> bytes:
    """Fields of a message, or of one inside it: values, lengths, kinds, doubled, gone, nested in themselves."""
    found = list(_fields(raw))
    if not found:
        return bytes_at_random(rng, raw or b"x")
    at = rng.randrange(len(found))
    number, kind, value = found[at]
    if kind == 2 and depth < 8 and rng.random() < 0.7 and (found_inside := _message(value)):
        found[at] = (number, kind, protobuf(rng, found_inside, depth + 1))
    else:
        what = rng.randrange(8)
        if what == 0:
            del found[at]
        elif what == 1:
            found[at:at] = [found[at]] * rng.choice((1, 2, 3000))
        elif what == 2:
            found[at] = (rng.choice((0, 1, 5, 7, 13, 19000, 2**29 - 1)), kind, value)
        elif what == 3 and kind == 2:
            for _ in range(rng.choice((3, 40, 400))):
                value = _packed([(number, kind, value)])
            found[at] = (number, kind, value)
        elif what == 4:
            return (
                _packed(found[:at]) + _varint(number << 3 | rng.choice((1, 2, 3, 5, 7))) + _varint(rng.choice(NUMBERS))
            )
        elif kind == 2:
            text = rng.choice((b"", b"../a", b"/etc/passwd", b"location", b"\xff\xfe", b"x" * 5000))
            found[at] = (number, kind, text if rng.random() < 0.5 else bytes_at_random(rng, value or b"x"))
        else:
            found[at] = (number, 0, _varint(rng.choice((*NUMBERS, 2**63, 2**64 - 1))))
    return _packed(found)


def _fields(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, kind and content (of a number its own bytes) of every field.

    Raises:
        IndexError: it is no message.
    """
    at = 0
    while at < len(raw):
        tag, at = _number(raw, at)
        kind, start = tag & 7, at
        if kind == 0:
            _, at = _number(raw, at)
        elif kind == 2:
            length, start = _number(raw, at)
            at = start + length
        else:
            at += {1: 8, 5: 4}[kind]
        if at > len(raw) or not tag >> 3:
            raise IndexError("it is no message")
        yield tag >> 3, kind, raw[start:at]


def _message(raw: bytes) -> bytes:
    """The bytes themselves where they are a message, else nothing."""
    try:
        return raw if list(_fields(raw)) else b""
    except (IndexError, KeyError):
        return b""


def _number(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while raw[at] > 127:
        value, shift, at = value | (raw[at] & 127) << shift, shift + 7, at + 1
    return value | raw[at] << shift, at + 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _packed(found: list[tuple[int, int, bytes]]) -> bytes:
    return b"".join(_varint(n << 3 | kind) + (_varint(len(v)) if kind == 2 else b"") + v for n, kind, v in found)


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
