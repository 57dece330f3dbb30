"""The words of the pickle language, by their code: what is not in the table is refused.

Left out on purpose are the extension registry (it imports) and buffers beside the stream, nothing else of protocol 5.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.foreign.budget import OBJECT
from gensr.priors.foreign.inert import Inert
from gensr.priors.foreign.stack import LONGEST_NUMBER, MARK, Machine, key

CODES = {op.name: ord(op.code) for op in pickletools.opcodes}
"""Codes by the names that Python's own documentation of the language has for them."""
STOP = CODES["STOP"]
Word = Callable[[Machine], None]


def unpickle(machine: Machine) -> tuple[object, int]:
    """The object of a pickle, and how many bytes the pickle takes.

    Raises:
        WeightsError: a global that could run code (its name is in the message), or a stream that is no pickle.
    """
    try:
        while True:
            code = machine.bytes_of(1)[0]
            if code == STOP:
                (value,) = machine.stack
                if value is MARK:
                    raise ValueError("a mark is left")
                return value, machine.at
            WORDS.get(code, _unknown)(machine)
    except WeightsError:
        raise
    except (ArithmeticError, LookupError, ValueError, TypeError, struct.error, RecursionError) as error:
        raise machine.budget.refuse(f"unreadable pickle at byte {machine.at} ({str(error)[:80]})") from None


def _unknown(m: Machine) -> None:
    names = {code: name for name, code in CODES.items()}
    code = m.data[m.at - 1]
    raise m.budget.refuse(f"{names.get(code, hex(code))} in a pickle at byte {m.at - 1}, which weights have no use for")


def _constant(value: object) -> Word:
    return lambda m: m.push(value)


def _new(kind: type) -> Word:
    return lambda m: m.push(kind())


def _number(form: str) -> Word:
    return lambda m: m.push(m.number(form))


def _bytes(form: str) -> Word:
    return lambda m: m.push(m.counted(form))


def _text(form: str) -> Word:
    return lambda m: m.push(m.text(m.counted(form)))


def _old_text(form: str) -> Word:
    return lambda m: m.push(m.text(m.counted(form), m.encoding))


def _whole(m: Machine, raw: memoryview) -> None:
    if len(raw) > LONGEST_NUMBER:
        raise ValueError(f"a whole number of {len(raw)} bytes")
    m.push(int.from_bytes(raw, "little", signed=True))


def _decimal(m: Machine) -> None:
    line = m.line().removesuffix("L")
    if len(line) > LONGEST_NUMBER:
        raise ValueError(f"a whole number of {len(line)} digits")
    m.push({"00": False, "01": True}.get(line) if line in ("00", "01") else int(line))


def _quoted(m: Machine) -> None:
    """A text of protocol 0 in quotes; escapes of Python are undone by its own codec."""
    line = m.line("latin-1")
    if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"":
        raise ValueError("a text without quotes")
    m.push(line[1:-1].encode("latin-1").decode("unicode_escape"))


def _tuple(count: int) -> Word:
    def word(m: Machine) -> None:
        taken = [m.pop() for _ in range(count)]
        m.push(tuple(reversed(taken)))

    return word


def _list(m: Machine) -> None:
    m.push(m.since_mark())


def _dict(m: Machine) -> None:
    m.push(_pairs(m, m.since_mark()))


def _pairs(m: Machine, flat: list[Any]) -> dict[Any, Any]:
    if len(flat) % 2:
        raise ValueError("a key without a value")
    m.budget.take(OBJECT * (len(flat) // 2))
    return {key(k): v for k, v in zip(flat[::2], flat[1::2], strict=True)}


def _put_in(m: Machine, flat: list[Any]) -> None:
    target, found = m.top(), _pairs(m, flat)
    if isinstance(target, Inert):
        target.items.update(found)
    elif isinstance(target, dict):
        target.update(found)
    else:
        raise ValueError(f"items for {type(target).__name__}")


def _append(m: Machine, values: list[Any]) -> None:
    target = m.top()
    m.budget.take(16 * len(values))
    if isinstance(target, Inert):
        target.elements += values
    elif isinstance(target, list):
        target += values
    else:
        raise ValueError(f"elements for {type(target).__name__}")


def _item(m: Machine) -> None:
    value, name = m.pop(), m.pop()
    _put_in(m, [name, value])


def _add(m: Machine) -> None:
    values, target = m.since_mark(), m.top()
    if not isinstance(target, set):
        raise ValueError("elements for what is no set")
    m.budget.take(OBJECT * len(values))
    target.update(key(v) for v in values)


def _remember(m: Machine, place: int) -> None:
    m.budget.take(OBJECT // 2)
    m.memo[place] = m.top()


def _recall(m: Machine, place: int) -> None:
    if place not in m.memo:
        raise ValueError(f"nothing was remembered as {place}")
    m.budget.take(8)
    m.stack.append(m.memo[place])


def _drop(m: Machine) -> None:
    m.stack.pop()


def _mark(m: Machine) -> None:
    m.push(MARK)


def _persistent(m: Machine, name: object) -> None:
    if m.persistent is None:
        raise ValueError("a reference to something outside")
    m.push(m.persistent(name))


def _reduce(m: Machine) -> None:
    args, function = m.pop(), m.pop()
    m.push(m.call(function, args))


def _object(m: Machine) -> None:
    args, kind = m.pop(), m.pop()
    m.push(m.made(kind, args))


def _object_with_keywords(m: Machine) -> None:
    keywords, args, kind = m.pop(), m.pop(), m.pop()
    m.push(m.made(kind, args, keywords))


def _old_object(m: Machine) -> None:
    """An object of protocol 0 or 1: its class is called, unless nothing is said to it."""
    kind, *args = m.since_mark()
    m.push(m.call(kind, tuple(args)) if args else m.made(kind, ()))


def _old_instance(m: Machine) -> None:
    kind = m.mention(m.line(), m.line())
    args = tuple(m.since_mark())
    m.push(m.call(kind, args) if args else m.made(kind, ()))


def _build(m: Machine) -> None:
    state = m.pop()
    m.build(m.top(), state)


def _global_of_stack(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    m.push(m.mention(module, name))


def _version(m: Machine) -> None:
    if m.number("<B") > 5:
        raise ValueError("a later protocol than 5")


_TABLE: dict[str, Word] = {
    "PROTO": _version,
    "FRAME": lambda m: m.number("<Q"),  # says how much follows in one piece; the words in it say so themselves
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "BININT": _number("<i"),
    "BININT1": _number("<B"),
    "BININT2": _number("<H"),
    "BINFLOAT": _number(">d"),
    "INT": _decimal,
    "LONG": _decimal,
    "LONG1": lambda m: _whole(m, m.counted("<B")),
    "LONG4": lambda m: _whole(m, m.counted("<i")),
    "FLOAT": lambda m: m.push(float(m.line())),
    "BINBYTES": _bytes("<I"),
    "BINBYTES8": _bytes("<Q"),
    "SHORT_BINBYTES": _bytes("<B"),
    "BYTEARRAY8": _bytes("<Q"),
    "BINUNICODE": _text("<I"),
    "BINUNICODE8": _text("<Q"),
    "SHORT_BINUNICODE": _text("<B"),
    "UNICODE": lambda m: m.push(m.line("raw_unicode_escape")),
    "BINSTRING": _old_text("<i"),
    "SHORT_BINSTRING": _old_text("<B"),
    "STRING": _quoted,
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": _new(list),
    "EMPTY_DICT": _new(dict),
    "EMPTY_SET": _new(set),
    "MARK": _mark,
    "TUPLE": lambda m: m.push(tuple(m.since_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "LIST": _list,
    "DICT": _dict,
    "FROZENSET": lambda m: m.push(frozenset(key(v) for v in m.since_mark())),
    "APPEND": lambda m: _append(m, [m.pop()]),
    "APPENDS": lambda m: _append(m, m.since_mark()),
    "SETITEM": _item,
    "SETITEMS": lambda m: _put_in(m, m.since_mark()),
    "ADDITEMS": _add,
    "POP": _drop,
    "POP_MARK": lambda m: m.since_mark().clear(),
    "DUP": lambda m: m.push(m.top()),
    "MEMOIZE": lambda m: _remember(m, len(m.memo)),
    "PUT": lambda m: _remember(m, int(m.line())),
    "BINPUT": lambda m: _remember(m, m.number("<B")),
    "LONG_BINPUT": lambda m: _remember(m, m.number("<I")),
    "GET": lambda m: _recall(m, int(m.line())),
    "BINGET": lambda m: _recall(m, m.number("<B")),
    "LONG_BINGET": lambda m: _recall(m, m.number("<I")),
    "PERSID": lambda m: _persistent(m, m.line()),
    "BINPERSID": lambda m: _persistent(m, m.pop()),
    "GLOBAL": lambda m: m.push(m.mention(m.line(), m.line())),
    "STACK_GLOBAL": _global_of_stack,
    "REDUCE": _reduce,
    "BUILD": _build,
    "NEWOBJ": _object,
    "NEWOBJ_EX": _object_with_keywords,
    "OBJ": _old_object,
    "INST": _old_instance,
}
WORDS: dict[int, Word] = {CODES[name]: word for name, word in _TABLE.items()}
"""By code."""
