"""Hostile and damaged files of weights: every word of pickle that imports or calls, bombs, overlaps, tricks."""

import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator

import torch

DANGEROUS = re.findall(
    r"\S+",
    """
os.system posix.system nt.system os.popen os.execv os.remove subprocess.Popen subprocess.check_output subprocess.run
builtins.eval builtins.exec builtins.compile builtins.__import__ builtins.open builtins.getattr builtins.setattr
builtins.globals builtins.breakpoint builtins.input builtins.type builtins.map builtins.print __builtin__.eval
__builtin__.execfile __builtin__.apply importlib.import_module runpy.run_path pty.spawn shutil.rmtree commands.getoutput
socket.create_connection webbrowser.open urllib.request.urlopen urllib2.urlopen http.client.HTTPConnection ctypes.CDLL
code.interact pdb.run timeit.timeit pickle.loads _pickle.loads cPickle.loads marshal.loads types.CodeType
types.FunctionType functools.partial functools.reduce operator.attrgetter operator.methodcaller copyreg.add_extension
sys.setrecursionlim sys.settrace signal.signal atexit.register threading.Thread multiprocessing.Process asyncio.run
tempfile.mkstemp pathlib.os.system bdb.Bdb torch.load torch.hub.load torch.jit.load torch.serialization.load
torch.utils.data.DataLoader torch._C._jit_compile torch.os.system torch.nn.os.system torch.storage._legacy_load
numpy.load numpy.lib.npyio.load numpy.testing._private.utils.runstring numpy.f2py.compile numpy.fromfile
pip.main pip._internal.main setuptools.setup dill._dill._create_function dill._dill._eval_repr dill.loads
cloudpickle.cloudpickle._make_function joblib.load pandas.read_pickle IPython.embed gensr.cli.main.main yaml.load
nobody.evil.run some.package.Class.method
""",
)
"""What a hostile file would like to call."""


def word(text: str) -> bytes:
    raw = text.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def split(full: str) -> tuple[str, str]:
    module, _, name = full.rpartition(".")
    return module, name


def calls(full: str) -> Iterator[tuple[str, bytes]]:
    """Every way in which a pickle can ask for a function."""
    m, n = split(full)
    line, arg = f"c{m}\n{n}\n".encode(), b"(S'/tmp/never'\nt"
    stack = b"\x80\x04" + word(m) + word(n) + b"\x93"
    yield "global", line + arg + b"R."
    yield "stack-global", stack + word("/tmp/never") + b"\x85R."
    yield "inst", b"(S'/tmp/never'\n" + f"i{m}\n{n}\n".encode() + b"."
    yield "obj", b"(" + line + b"S'/tmp/never'\no."
    yield "newobj", b"\x80\x02" + line + b"\x8c\x01x\x85\x81."
    yield "newobj-ex", stack + b")}\x92."
    yield "build", b"\x80\x02" + line + b"}b."
    yield "memo", b"\x80\x02" + line + b"q\x050h\x05" + b"X\x01\0\0\0x\x85R."
    yield "in-dict", b"\x80\x04}" + word("w") + stack[2:] + word("x") + b"\x85Rs."
    yield "in-tuple", b"\x80\x04K\x01K\x02" + stack[2:] + word("x") + b"\x85R\x87."


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED, top: str = "archive/") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, raw in files.items():
            archive.writestr(top + name, raw)
    return out.getvalue()


def saved(value: object, zip: bool = True) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zip)
    return out.getvalue()


def tensor_of(key="0", count=4, offset="K\x00", shape="K\x04\x85", stride="K\x01\x85", kind="FloatStorage") -> bytes:
    """A pickle of one tensor whose claims can be chosen, as ``data.pkl`` holds it."""
    storage = word("storage") + f"ctorch\n{kind}\n".encode() + word(key) + word("cpu") + integer(count)
    said = b"(" + storage + b"tQ"
    args = b"(" + said + offset.encode("latin-1") + shape.encode("latin-1") + stride.encode("latin-1") + b"\x89}t"
    return b"\x80\x04}" + word("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."


def integer(value: int) -> bytes:
    raw = value.to_bytes(12, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def text(value: bytes) -> str:
    return value.decode("latin-1")


def claims() -> Iterator[tuple[str, bytes]]:
    """Tensors and storages that are not what they say."""
    raw = {"data/0": b"\0" * 16, "version": b"3\n"}
    big = text(integer(1 << 40))
    cases = {
        "shape-too-big": tensor_of(shape="K\x05\x85"),
        "shape-huge": tensor_of(shape=f"{big}\x85"),
        "shape-expanded": tensor_of(shape=f"{big}\x85", stride="K\x00\x85"),
        "shape-negative": tensor_of(shape=text(integer(-4)) + "\x85"),
        "shape-text": tensor_of(shape=text(word("x")) + "\x85"),
        "shape-deep": tensor_of(shape="(" + "K\x01" * 20 + "t", stride="(" + "K\x01" * 20 + "t"),
        "shape-overflow": tensor_of(shape=f"{big}{big}{big}\x87", stride=f"{big}{big}{big}\x87"),
        "stride-huge": tensor_of(stride=f"{big}\x85"),
        "stride-negative": tensor_of(offset="K\x03", stride=text(integer(-1)) + "\x85"),
        "stride-missing": tensor_of(stride=")"),
        "offset-beyond": tensor_of(offset="K\x01"),
        "offset-huge": tensor_of(offset=big),
        "offset-negative": tensor_of(offset=text(integer(-1))),
        "count-too-big": tensor_of(count=5),
        "count-too-small": tensor_of(count=3),
        "count-huge": tensor_of(count=1 << 60),
        "count-negative": tensor_of(count=-4),
        "kind-unknown": tensor_of(kind="QUInt8Storage"),
        "kind-nothing": tensor_of(kind="os"),
        "key-missing": tensor_of(key="1"),
        "key-path": tensor_of(key="../../etc/passwd"),
        "no-storage": b"\x80\x04}" + word("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))\x89}tRs.",
        "few-arguments": b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n)R.",
        "typed-by-others": b"\x80\x04ctorch._tensor\n_rebuild_from_type_v2\n(cnobody\nevil\ncnobody\nC\n)}tR.",
    }
    for name, pickled in cases.items():
        yield f"claim-{name}", zipped({"data.pkl": pickled, **raw})
    good = tensor_of()
    twice = good[:-2] + word("v") + tensor_of(kind="IntStorage")[len(b"\x80\x04}" + word("w")) : -2] + b"s" + b"s."
    yield "claim-two-kinds", zipped({"data.pkl": twice, **raw})
    many = (
        b"\x80\x04]" + b"(" + b"".join(tensor_of()[len(b"\x80\x04}" + word("w")) : -2] for _ in range(30_000)) + b"e."
    )
    yield "claim-many-views", zipped({"data.pkl": many, **raw})
    yield "big-endian", zipped({"data.pkl": good, "byteorder": b"big", **raw})


def zips() -> Iterator[tuple[str, bytes]]:
    """Zips that unpack to more, lie over each other or lead out of themselves."""
    good = {"data.pkl": tensor_of(), "data/0": b"\0" * 16}
    whole = zipped(good)
    yield "zip-bomb", zipped({"data.pkl": b"\x80\x04]" + b"N0" * (4 << 20) + b"."}, zipfile.ZIP_DEFLATED)
    yield "zip-bomb-storage", zipped({**good, "data/0": b"\0" * (8 << 20)}, zipfile.ZIP_DEFLATED)
    yield "zip-bomb-many", zipped({f"data/{i}": b"\0" * (1 << 20) for i in range(8)}, zipfile.ZIP_DEFLATED)
    yield "zip-nested", zipped({"data.pkl": whole, "data/0": b"\0" * 16})
    for name in ("../out", "/etc/passwd", "a/../../b", "C:/x", "a\\..\\b", "..", "a\0b"):
        archive = bytearray(zipped({"data.pkl": tensor_of(), "n" * len(name): b"x"}, top=""))
        place = b"n" * len(name)
        yield f"zip-path-{name!r}", bytes(archive.replace(place, name.encode()))
    directory = whole.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", whole, directory + 16)[0]
    for name, at, raw in (
        ("size", start + 20, b"\xff\xff\xff\x7f"),
        ("plain", start + 24, b"\xff\xff\xff\x7f"),
        ("offset", start + 42, b"\xff\xff\xff\x7f"),
        ("encrypted", start + 8, b"\x01\0"),
        ("method", start + 10, b"\x0e\0"),
        ("disk", start + 34, b"\x07\0"),
        ("name", start + 28, b"\xff\xff"),
        ("signature", start, b"XX"),
        ("directory", directory + 16, b"\xff\xff\xff\x7f"),
        ("directory-size", directory + 12, b"\xff\xff\xff\x7f"),
        ("parts", directory + 4, b"\x01\0"),
        ("count", directory + 10, b"\0\0"),
        ("wide", start + 24, b"\xff\xff\xff\xff"),
    ):
        yield f"zip-{name}", whole[:at] + raw + whole[at + len(raw) :]
    second = whole.index(b"PK\x01\x02", start + 4)
    over = bytearray(whole)
    over[second + 42 : second + 46] = whole[start + 42 : start + 46]
    yield "zip-overlap", bytes(over)
    twice = bytearray(zipped({"data.pkl": tensor_of(), "data/0": b"\0" * 16, "data/1": b"\0" * 16}))
    yield "zip-doubled", bytes(twice.replace(b"data/1", b"data/0"))
    yield "zip-without-pickle", zipped({"data/0": b"\0" * 16})
    yield "zip-empty", zipped({})
    end, far = whole.rindex(b"PK\x05\x06"), (1 << 64) - 1
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, far, 1)
    yield "zip-wide-end-far", whole[:end] + locator + whole[end:]
    entry = bytearray(whole[start:end])
    length, extra = struct.unpack_from("<HH", entry, 28)
    assert not extra
    entry[30:32], entry[42:46] = struct.pack("<H", 12), b"\xff" * 4
    entry[46 + length : 46 + length] = struct.pack("<HHQ", 1, 8, far)
    tail = bytearray(whole[end:])
    tail[12:16] = struct.pack("<I", len(entry))
    yield "zip-wide-entry-far", whole[:start] + bytes(entry) + bytes(tail)
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    lying = zipped({"data.pkl": tensor_of() + b"\0" * 2000, "data/0": b"\0" * 16}, zipfile.ZIP_DEFLATED)
    assert squeezed is not None
    yield "zip-lies", lying.replace(struct.pack("<I", len(tensor_of()) + 2000), struct.pack("<I", 100))


def words() -> Iterator[tuple[str, bytes]]:
    """Streams of words that mean nothing, or too much."""
    deep = 20_000
    cases = {
        "deep-lists": b"\x80\x04" + b"]" * deep + b"a" * (deep - 1) + b".",
        "deep-tuples": b"\x80\x04)" + b"\x85" * deep + b".",
        "deep-key": b"\x80\x04})" + b"\x85" * deep + b"Ns.",
        "deep-dicts": b"\x80\x04" + (b"}" + word("a")) * 8_000 + b"}" + b"s" * 8_000 + b".",
        "circle": b"\x80\x04]q\0h\0a.",
        "circle-dict": b"\x80\x04}q\0" + word("a") + b"h\0s.",
        "many-objects": b"\x80\x04" + b"}" * 20_000_000 + b".",
        "many-sets": b"\x80\x04(" + b"\x8f" * 200_000 + b"t.",
        "many-marks": b"\x80\x04" + b"(" * 200_000 + b".",
        "many-copies": b"\x80\x04]" + b"2" * 300_000 + b"t.",
        "doubling": b"\x80\x04]" + b"".join(b"(h\0h\0e" for _ in range(30)) + b".",
        "long-number": b"\x80\x04\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
        "long-negative": b"\x80\x04\x8b" + struct.pack("<i", -1) + b".",
        "long-decimal": b"I" + b"9" * 100_000 + b"\n.",
        "text-huge": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
        "bytes-huge": b"\x80\x04\x8e" + struct.pack("<Q", (1 << 64) - 1) + b"x.",
        "bytearray-huge": b"\x80\x05\x96" + struct.pack("<Q", 1 << 50) + b"x.",
        "frame-huge": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62),
        "memo-huge": b"\x80\x04Nr" + struct.pack("<I", 0xFFFFFFFF),
        "memo-missing": b"\x80\x04h\x07.",
        "memo-missing-long": b"\x80\x04j\xff\xff\xff\xff.",
        "memo-text": b"gx\n.",
        "extension-1": b"\x80\x02\x82\x01.",
        "extension-2": b"\x80\x02\x83\x01\0.",
        "extension-4": b"\x80\x02\x84\x01\0\0\0.",
        "persistent": b"\x80\x02" + word("x") + b"Q.",
        "persistent-line": b"Px\n.",
        "buffer": b"\x80\x05\x97.",
        "buffer-readonly": b"\x80\x05N\x98.",
        "protocol": b"\x80\x77N.",
        "unknown-word": b"\x80\x04\xff.",
        "no-stop": b"\x80\x04N",
        "nothing": b"\x80\x04.",
        "mark-alone": b"\x80\x04(.",
        "two-left": b"\x80\x04NN.",
        "pop-nothing": b"\x80\x040.",
        "no-mark": b"\x80\x04Nt.",
        "call-number": b"\x80\x04K\x01)R.",
        "call-mark": b"\x80\x04((R.",
        "call-without-tuple": b"\x80\x04ctorch\nSize\nK\x01R.",
        "object-of-number": b"\x80\x04K\x01)\x81.",
        "object-of-function": b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n)\x81.",
        "state-of-number": b"\x80\x04K\x01}b.",
        "state-of-list": b"\x80\x04]}b.",
        "items-of-list": b"\x80\x04]NNs.",
        "items-odd": b"\x80\x04}(NNNu.",
        "elements-of-dict": b"\x80\x04}Na.",
        "elements-of-list-as-set": b"\x80\x04](N\x90.",
        "key-list": b"\x80\x04}]Ns.",
        "key-dict": b"\x80\x04}}Ns.",
        "set-of-lists": b"\x80\x04\x8f(]\x90.",
        "frozen-of-dicts": b"\x80\x04(}\x91.",
        "text-not-utf8": b"\x80\x04\x8c\x02\xff\xfe.",
        "text-unquoted": b"Sabc\n.",
        "text-endless": b"S'" + b"a" * 10_000,
        "number-of-words": b"Iabc\n.",
        "float-of-words": b"Fabc\n.",
        "global-without-name": b"c\n\n.",
        "global-of-numbers": b"\x80\x04K\x01K\x02\x93.",
        "global-long": b"c" + b"a" * 5000 + b"\nb\n.",
        "global-not-ascii": "cö\nü\n.".encode(),
        "global-dunder": b"cnobody\n__subclasses__\n.",
        "global-through": b"cnobody\nos.system\n.",
        "array-of-objects": pickle.dumps({"w": __import__("numpy").array([{}, []], object)}),
        "array-too-big": _array(1 << 40),
        "array-negative": _array(-3),
        "array-state": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n)R}b.",
        "scalar-short": b"\x80\x04cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n"
        + word("f8")
        + b"\x89\x88\x87RC\x01xtR.",
        "bytes-encoded": b"\x80\x04c_codecs\nencode\n(" + word("x") + word("rot13") + b"tR.",
        "ordered-odd": b"\x80\x04ccollections\nOrderedDict\n(](K\x01eatR.",
        "persistent-object": b"\x80\x04ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R.",
        "storage-not-a-file": b"\x80\x04ctorch.storage\n_load_from_bytes\nC\x04abcd\x85R.",
        "storage-pickle": _inside(pickle.dumps({"a": 1})),
        "storage-zip": _inside(saved({"a": torch.ones(2)})),
        "storage-of-dict": _inside(saved({"a": torch.ones(2)}, zip=False)),
        "storage-hostile": _inside(_legacy_calling("os.system")),
        "storage-tail": _inside(_nested_storage() + b"xx"),
        "only-numbers": pickle.dumps({"a": 1, "b": [2.5, "x"]}),
    }
    for name, raw in cases.items():
        yield f"word-{name}", raw
    blob = _nested_storage()
    for depth in range(1, 6):
        blob = _legacy_calling("torch.storage._load_from_bytes", b"B" + struct.pack("<I", len(blob)) + blob)
        yield f"nested-{depth}", _inside(blob)


def _array(count: int) -> bytes:
    head = b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    dtype = (
        b"cnumpy\ndtype\n"
        + word("f4")
        + b"\x89\x88\x87R(K\x03"
        + word("<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    return b"\x80\x04}" + word("w") + head[2:] + b"(K\x01" + integer(count) + b"\x85" + dtype + b"\x89C\x04abcdtbs."


def _inside(blob: bytes) -> bytes:
    return (
        b"\x80\x04}"
        + word("w")
        + b"ctorch.storage\n_load_from_bytes\nB"
        + struct.pack("<I", len(blob))
        + blob
        + b"\x85Rs."
    )


def _nested_storage() -> bytes:
    return saved(torch.ones(2).storage(), zip=False)


def _legacy_calling(full: str, argument: bytes = b"X\x01\0\0\0x") -> bytes:
    """A file of the old form whose object calls."""
    whole = saved(1, zip=False)
    keys = pickle.dumps([], 2)
    head = whole[: whole.rindex(pickle.dumps(1, 2))]
    m, n = split(full)
    return head + b"\x80\x02" + f"c{m}\n{n}\n".encode() + argument + b"\x85R." + keys


def legacies() -> Iterator[tuple[str, bytes]]:
    """Files of torch's old form."""
    whole = saved({"w": torch.arange(4.0)}, zip=False)
    at = len(whole) - 16 - 8
    for name, count in (("more", 5), ("less", 3), ("huge", 1 << 60), ("negative", -1)):
        yield f"legacy-count-{name}", whole[:at] + struct.pack("<q", count) + whole[at + 8 :]
    yield "legacy-version", whole.replace(b"M\xe9\x03.", b"M\xea\x03.")
    yield "legacy-magic", whole[:14] + b"\0" + whole[15:]
    yield "legacy-endian", whole.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    keys = pickle.dumps(["0"], 2)
    assert whole.count(b"]q\x00X") == 1
    start = whole.index(b"\x80\x02]q\x00X")
    end = whole.index(b".", start) + 1
    for name, said in (("none", []), ("strange", ["zzz"]), ("number", 7), ("doubled", ["0", "0"])):
        yield f"legacy-keys-{name}", whole[:start] + pickle.dumps(said, 2) + whole[end:]
    assert keys
    for full in ("os.system", "builtins.eval", "nobody.evil"):
        yield f"legacy-calls-{full}", _legacy_calling(full)


def safes() -> Iterator[tuple[str, bytes]]:
    """Safetensors that claim what is not there."""

    def file(header: object, body: bytes = b"\0" * 16) -> bytes:
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(raw)) + raw + body

    def entry(shape=(4,), offsets=(0, 16), dtype="F32"):
        return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}

    cases = {
        "beyond": entry(offsets=(0, 17)),
        "backwards": entry(offsets=(16, 0)),
        "negative": entry(offsets=(-16, 0)),
        "shape": entry(shape=(5,)),
        "shape-huge": entry(shape=(1 << 50, 1 << 50)),
        "shape-negative": entry(shape=(-4,)),
        "shape-float": entry(shape=(4.0,)),
        "type": entry(dtype="F99"),
        "three": {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8, 16]}},
        "without": {"w": {"dtype": "F32"}},
        "overlap": {"a": entry()["w"], "b": {**entry()["w"], "shape": [2], "data_offsets": [8, 16]}},
        "list": {"w": [1, 2]},
        "number": {"w": 7},
        "metadata": {"__metadata__": 7, **entry()},
        "no-json": b"{" + b"a" * 100,
        "deep": b'{"w":' + b"[" * 5000 + b"]" * 5000 + b"}",
        "wide": b'{"w":[' + b"[]," * 300_000 + b"[]]}",
        "not-utf8": b'{"\xff":1}',
        "top-list": b"{}"[:1] + b"1]",
        "empty": {},
    }
    for name, header in cases.items():
        yield f"safe-{name}", file(header)
    yield "safe-long-header", struct.pack("<Q", 1 << 62) + b"{}"
    yield "safe-strange-names", file({"no.generator": entry()["w"]})


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A message of protobuf."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def onnx(tensor: bytes = b"", node: bytes = b"") -> bytes:
    graph = message((1, node or message((4, b"Relu"))), (2, b"g"), (5, tensor or message((8, b"w"))))
    return message((1, 8), (2, b"someone"), (7, graph), (8, message((2, 17))))


def programs() -> Iterator[tuple[str, bytes]]:
    """Files that are programs, and what they may hide."""
    yield "onnx-plain", onnx()
    for name in ("../../etc/passwd", "/etc/passwd", "C:/secret", "..\\x", "a/../../b", "a\0b"):
        entry = message((1, b"location"), (2, name.encode()))
        yield f"onnx-outside-{name!r}", onnx(message((8, b"w"), (13, entry), (14, 1)))
        inner = message((5, message((13, entry))))
        yield f"onnx-outside-attribute-{name!r}", onnx(node=message((4, b"Constant"), (5, inner)))
    deep = message((1, message((4, b"If"))))
    for _ in range(40):
        deep = message((1, message((4, b"If"), (5, message((6, deep))))))
    yield "onnx-deep", message((1, 8), (2, b"x"), (7, deep))
    yield "onnx-cut", onnx()[:-9]
    yield "onnx-length", message((1, 8), (2, b"x"), (3, b"y")) + b"\x3a\xff\xff\xff\xff\x0f"
    yield "onnx-many", message((1, 8), (7, message((4, b"x"))[:0] + message((1, message((4, b"A")))) * 200_000))
    code = {"code/__torch__.py": b"import os", "constants.pkl": b"\x80\x02)."}
    yield "script-code", zipped({"data.pkl": b"\x80\x02}.", **code})
    yield "script-hostile-data", zipped({"data.pkl": b"\x80\x02cos\nsystem\nX\x01\0\0\0x\x85R.", **code})
    yield "script-no-data", zipped(code)
    yield "script-real", _scripted()
    yield "export", zipped({"archive_format": b"pt2", "models/model.json": b"{}", "data/weights/w": b"\0" * 8})
    yield "export-old", zipped({"serialized_exported_program.json": b"{}"})


def _scripted() -> bytes:
    out = io.BytesIO()
    with_warnings = torch.jit.script(torch.nn.Linear(2, 2))
    torch.jit.save(with_warnings, out)
    return out.getvalue()


def strangers() -> Iterator[tuple[str, bytes]]:
    """Files that are no weights at all."""
    for name, raw in {
        "empty": b"",
        "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        "elf": b"\x7fELF" + b"\0" * 50,
        "html": b"<!DOCTYPE html><html>Quota exceeded</html>",
        "python": b"import os\nos.system('x')\n",
        "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 50,
        "npy": b"\x93NUMPY\x01\0v\0{'descr': '|O'}",
        "gzip": b"\x1f\x8b\x08" + b"\0" * 30,
        "tar": b"storages".ljust(100, b"\0") + b"0000644\0".ljust(157, b"\0") + b"ustar".ljust(255, b"\0"),
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "json": b'{"a": 1}',
        "text": b"(hello",
        "nulls": b"\0" * 4096,
        "one": b"\x80",
        "zip-head": b"PK\x03\x04",
    }.items():
        yield f"stranger-{name}", raw


def damaged() -> Iterator[tuple[str, bytes]]:
    """Good files of every kind, cut off."""
    state = {"a.weight": torch.randn(40, 4), "b": torch.ones(3).half()}
    from safetensors.torch import save

    for kind, whole in {
        "zip": saved(state),
        "legacy": saved(state, zip=False),
        "pickle": pickle.dumps(state),
        "safe": save(state),
    }.items():
        for i in range(1, 16):
            yield f"cut-{kind}-{i}", whole[: len(whole) * i // 16]


def every() -> Iterator[tuple[str, bytes]]:
    """All of them."""
    yield from calling()
    yield from structures()


def calling() -> Iterator[tuple[str, bytes]]:
    """Every way to call everything."""
    for full in DANGEROUS:
        for form, raw in calls(full):
            yield f"call-{form}-{full}", raw


def structures() -> Iterator[tuple[str, bytes]]:
    """All the others."""
    for full in DANGEROUS[::7]:
        raw = b"".join(r for f, r in calls(full) if f == "stack-global")
        yield f"call-in-zip-{full}", zipped({"data.pkl": raw, "data/0": b"\0" * 16})
        yield f"call-in-packed-zip-{full}", zipped({"data.pkl": raw}, zipfile.ZIP_DEFLATED)
    for group in (claims, zips, words, legacies, safes, programs, strangers, damaged):
        yield from group()
