"""Mutations that know the structure of a format: directories, cards, elements, chunks, boxes, markup, headers."""

from __future__ import annotations

import gzip
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

from fuzz_folders import SUFFIX, spoil
from fuzz_weights import (
    NUMBERS,
    bytes_at_random,
    checkpoint,
    document,
    hierarchy,
    protobuf,
    safetensors,
    strange_safetensors,
)

from gensr.priors.weights import KEY

WORDS = ("", "0", "-1", "nan", "inf", "1e400", "-1e400", "99999999999", "1e-320", "x" * 300, "\u00b5", "T", "&amp;")
PATHS = ("/etc/passwd", "/vsicurl/http://127.0.0.1/a", "file:///etc/passwd")
TEXTS = (*WORDS, *PATHS, "..", "%s%n", "<a>", "' or 1", "\0", "a\nb")
TAGS = (256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 317, 322, 330, 339, 33550, 34665, 42112, 42113)
CARDS = b"NAXIS NAXIS1 NAXIS9 BITPIX BSCALE BZERO BLANK CRPIX1 CD1_1 A_ORDER CTYPE1 PC1_1 GCOUNT PCOUNT ZTILE1 ZCMPTYPE"
VALUES = (*WORDS[:9], "'text'", "F", "(1,2)", "-5", "1.5", "'electron'")
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
DAMAGE = (struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, OSError, EOFError,
          zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)  # fmt: skip
Mutation = Callable[[random.Random, bytes], bytes]
DOCUMENTS = (".json", ".zattrs", ".zarray", ".zgroup", ".zmetadata")
"""Endings of files of JSON."""


def tiff(rng: random.Random, raw: bytes) -> bytes:
    """Entries of a directory: tag, type, count, value or offset; links; text of descriptions."""
    order, big = ("<" if raw[:2] == b"II" else ">"), raw[2:4] in (b"+\0", b"\0+")
    count, width, number = ("Q", 20, "Q") if big else ("H", 12, "I")
    data = bytearray(raw)
    try:
        starts = [struct.unpack_from(order + number, data, 8 if big else 4)[0]]
        while starts[-1] and len(starts) < 9:
            entries = struct.unpack_from(order + count, data, starts[-1])[0]
            after = starts[-1] + struct.calcsize(count) + entries * width
            starts.append(struct.unpack_from(order + number, data, after)[0])
        start = rng.choice([s for s in starts if s])
        entries = struct.unpack_from(order + count, data, start)[0]
        first = start + struct.calcsize(count)
        place = first + width * rng.randrange(entries)
        _, kind, length = struct.unpack_from(order + "HH" + number, data, place)
        value = place + 4 + struct.calcsize(number)
        inside = SIZES.get(kind, 1) * length
        offset = value if inside <= struct.calcsize(number) else struct.unpack_from(order + number, data, value)[0]
        what = rng.randrange(9)
        most = 2**64 - 1 if big else 2**32 - 1
        if what == 0:
            struct.pack_into(order + "H", data, place, rng.choice(TAGS))
        elif what == 1:
            struct.pack_into(order + "H", data, place + 2, rng.choice((*SIZES, 0, 19, 255)))
        elif what == 2:
            struct.pack_into(order + number, data, place + 4, rng.choice(NUMBERS) & most)
        elif what == 3:
            struct.pack_into(order + number, data, value, rng.choice((*NUMBERS, start, len(data) - 1)) & most)
        elif what == 4:
            struct.pack_into(order + number, data, first + entries * width, rng.choice((*starts, *NUMBERS)) & most)
        elif what == 5 and inside:
            form = {2: "H", 4: "I", 8: "Q"}.get(SIZES.get(kind, 1), "B")
            struct.pack_into(order + form, data, offset, rng.choice(NUMBERS) & (256 ** struct.calcsize(form) - 1))
        elif what == 6:
            other = first + width * rng.randrange(entries)
            one, two = data[place : place + width], data[other : other + width]
            data[place : place + width], data[other : other + width] = two, one
        else:
            texts = [
                p for p in range(first, first + width * entries, width) if _tag(order, data, p) in (270, 42112, 305)
            ]
            if texts:
                place = rng.choice(texts)
                _, kind, length = struct.unpack_from(order + "HH" + number, data, place)
                value = place + 4 + struct.calcsize(number)
                at = value if length <= struct.calcsize(number) else struct.unpack_from(order + number, data, value)[0]
                text = markup(rng, bytes(data[at : at + length]).rstrip(b"\0")) + b"\0"
                struct.pack_into(order + number, data, place + 4, len(text))
                struct.pack_into(order + number, data, value, len(data))
                data += text
    except (struct.error, IndexError, ValueError, OverflowError):
        return bytes_at_random(rng, raw)
    return bytes(data)


def _tag(order: str, data: bytearray, place: int) -> int:
    return int(struct.unpack_from(order + "H", data, place)[0])


def markup(rng: random.Random, text: bytes) -> bytes:
    """Values of attributes and elements, doubled or missing elements, declarations; lines of ``key=value``."""
    words = text.decode("utf-8", "replace")
    values = list(re.finditer(r'(?<=")[^"]*(?=")|(?<=>)[^<]+(?=<)|(?<==)[^\n"]+', words))
    elements = list(re.finditer(r"<(\w+)[^<>]*?(/>|>[^<]*</\1>)", words))
    what = rng.randrange(6)
    if what < 3 and values:
        found = rng.choice(values)
        words = words[: found.start()] + rng.choice((*TEXTS, *map(str, NUMBERS))) + words[found.end() :]
    elif what == 3 and elements:
        found = rng.choice(elements)
        words = words[: found.start()] + found[0] * rng.choice((0, 2, 50)) + words[found.end() :]
    elif what == 4:
        domain = rng.choice(("OVERVIEWS", "ProxyOverviewRequest", "xml:VRT", "GEOLOCATION", "SUBDATASETS", "RPC", "X"))
        item = f'<Item name="OVERVIEW_FILE" domain="{domain}">{rng.choice(PATHS)}</Item>'
        words = words.replace("</GDALMetadata>", item + "</GDALMetadata>")
    else:
        words = '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]>' + words
    return words.encode("utf-8", "replace")


def fits(rng: random.Random, raw: bytes) -> bytes:
    """Cards: other values, other names, doubled, gone, continued; sizes of the data stay as they are."""
    ends = [m.start() for m in re.finditer(rb"END {77}", raw) if m.start() % 80 == 0]
    if not ends:
        return bytes_at_random(rng, raw)
    end = rng.choice(ends)
    starts = [m.start() for m in re.finditer(rb"SIMPLE  =|XTENSION=", raw) if m.start() % 2880 == 0 and m.start() < end]
    start = starts[-1] if starts else 0
    cards = [raw[i : i + 80] for i in range(start, end, 80)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(cards))
        what = rng.randrange(6)
        value = rng.choice((*VALUES, *map(str, NUMBERS))).encode("ascii", "replace")[:60].rjust(20)
        if what < 3:
            cards[place] = (cards[place][:8] + b"= " + value).ljust(80)
        elif what == 3:
            cards.insert(place, cards[place])
        elif what == 4:
            name = rng.choice(CARDS.split()).ljust(8)
            cards.insert(rng.randrange(place, len(cards) + 1), (name + b"= " + value).ljust(80))
        else:
            del cards[place]
        if not cards:
            break
    header = b"".join(cards) + b"END".ljust(80)
    after = end + 80 + (-(end + 80)) % 2880
    return raw[:start] + header.ljust(len(header) + (-len(header)) % 2880) + raw[after:]


def dicom(rng: random.Random, raw: bytes) -> bytes:
    """Elements of explicit VR little endian: values, lengths, representations, doubled, gone; fragments of pixels."""
    place, elements = 132, []
    while place + 8 <= len(raw):
        long = raw[place + 4 : place + 6] in b"OB OW SQ UN UT UC UR OF OD OL OV".split()
        head = 12 if long else 8
        size = struct.unpack_from("<I", raw, place + 8)[0] if long else struct.unpack_from("<H", raw, place + 6)[0]
        elements.append((place, head, size))
        if size == 0xFFFFFFFF or place + head + size > len(raw):
            break
        place += head + size
    if not elements:
        return bytes_at_random(rng, raw)
    data = bytearray(raw)
    place, head, size = rng.choice(elements)
    what = rng.randrange(7)
    if what < 2 and size not in (0, 0xFFFFFFFF):
        text = rng.choice((*TEXTS, "1\\2", "-5", "1e30\\nan")).encode("utf-8", "replace")
        value = text[:size].ljust(size) if rng.random() < 0.6 else rng.randbytes(size)
        data[place + head : place + head + size] = value
    elif what == 2:
        form = "<H" if head == 8 else "<I"
        struct.pack_into(form, data, place + head - struct.calcsize(form), rng.choice(NUMBERS) & 65535)
    elif what == 3:
        data[place + 4 : place + 6] = rng.choice((b"US", b"SQ", b"DS", b"IS", b"UN", b"OB", b"FD", b"XX", b"PN"))
    elif what == 4 and size != 0xFFFFFFFF:
        del data[place : place + head + size]
    elif what == 5 and size != 0xFFFFFFFF:
        data[place:place] = data[place : place + head + size]
    else:
        place, head, _ = elements[-1]
        at = min(len(data) - 4, place + head + rng.randrange(80))
        struct.pack_into("<I", data, at, rng.choice(NUMBERS) & 0xFFFFFFFF)
    return bytes(data)


def nifti(rng: random.Random, raw: bytes) -> bytes:
    """Numbers of the header."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2))):
        place = 4 * rng.randrange(88 if raw[:1] == b"\\" else 135)
        kind = rng.choice("hifq")
        number = rng.choice((float("nan"), float("inf"), -1.0, 1e38, 0.0))
        whole = min(rng.choice((*NUMBERS[:14], -1, -32768)), 32767)
        struct.pack_into("<" + kind, data, place, number if kind == "f" else whole)
    return bytes(data)


def png(rng: random.Random, raw: bytes) -> bytes:
    """Chunks with right checksums: other content, other names, doubled, gone, in another order."""
    chunks, place = [], 8
    while place + 12 <= len(raw):
        length = int.from_bytes(raw[place : place + 4], "big")
        chunks.append((raw[place + 4 : place + 8], raw[place + 8 : place + 8 + length]))
        place += 12 + length
    i = rng.randrange(len(chunks))
    name, body = chunks[i]
    what = rng.randrange(5)
    if what == 0:
        chunks[i] = (name, bytes_at_random(rng, body) if body else b"\1")
    elif what == 1 and len(chunks[0][1]) == 13:
        head = bytearray(chunks[0][1])
        struct.pack_into(">I", head, rng.choice((0, 4)), rng.choice(NUMBERS) & 0x7FFFFFFF)
        head[rng.choice((8, 9, 10, 12))] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)) if rng.random() < 0.5 else head[8]
        chunks[0] = (chunks[0][0], bytes(head))
    elif what == 2:
        chunks.insert(i, chunks[i])
    elif what == 3:
        del chunks[i]
    else:
        bomb = (b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 22)))
        chunks.insert(i, rng.choice((bomb, (b"iCCP", b"p\0\0x"), (b"eXIf", b"MM\0*\0"), (b"acTL", bytes(8)))))
    return raw[:8] + b"".join(
        struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks
    )


def boxes(rng: random.Random, raw: bytes) -> bytes:
    """Boxes of JPEG 2000 and markers behind them."""
    data = bytearray(raw)
    known = rb"jp2h|ihdr|colr|jp2c|uuid|xml |asoc|\xff\x51|\xff\x52|\xff\x5c|\xff\x90"
    found = [m.start() for m in re.finditer(known, raw)]
    place = rng.choice(found) + rng.randrange(-4, 40) if found else 0
    form = rng.choice((">I", ">H", ">B"))
    struct.pack_into(form, data, min(max(0, place), len(data) - 4), rng.choice(NUMBERS) % 256 ** struct.calcsize(form))
    return bytes(data)


def _by_name(name: str, raw: bytes) -> Mutation:
    if name.endswith((".pth", ".pt", ".pkl")):
        return checkpoint
    if name.endswith((".ckpt", ".safetensors")):
        return safetensors if KEY.encode() in raw[: 1 << 20] else strange_safetensors
    if name.endswith((".zip", ".pt2")):
        return hierarchy
    if name.endswith(".onnx"):
        return protobuf
    if name.endswith(DOCUMENTS):
        return document
    if raw[:2] in (b"II", b"MM"):
        return tiff
    if raw[:6] == b"SIMPLE":
        return fits
    if raw[128:132] == b"DICM":
        return dicom
    if raw[:4] == b"\x89PNG":
        return png
    if raw[4:8] == b"jP  ":
        return boxes
    return nifti if ".nii" in name else markup if name.endswith((".xml", ".wld")) else bytes_at_random


LARGEST = 64 << 20
"""Bytes of a spoilt file: a value may be padded to a length that another mutation made up."""


def mutate(rng: random.Random, name: str, raw: bytes) -> bytes:
    """A spoilt copy: mostly by the structure of the format, one time in five bytes at random, sometimes both."""
    if name.endswith(".gz") and rng.random() < 0.8:
        return gzip.compress(mutate(rng, name.removesuffix(".gz"), gzip.decompress(raw)), mtime=0)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if name.endswith(SUFFIX):
            raw = spoil(rng, raw, mutate)
            continue
        try:
            raw = (bytes_at_random if rng.random() < 0.2 else _by_name(name, raw))(rng, raw)
        except DAMAGE:
            raw = bytes_at_random(rng, raw or b"x")  # a structure that an earlier mutation destroyed
    return raw[:LARGEST]
