"""Spoil good files of every format, open and settle each, and keep what does not end in one clear line.

    python scripts/fuzz.py --minutes 10 --seed 1
    python scripts/fuzz.py --count 2000 --answer 0.1 --keep tests/fuzz

Every case is a function of the seed and its number, so that a finding can be made again. Files are opened and settled
in one process, and a share of them answered; a crash of that process is a finding as well, and the run goes on behind.
What counts: any error that the command would call a bug, a message of several lines, more than `SECONDS` or `BYTES`.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

import numpy as np
from fuzz_folders import SUFFIX, unpack
from fuzz_mutate import mutate
from fuzz_seeds import ROOT, make

from gensr.cli.console import explain
from gensr.errors import GensrError
from gensr.pipeline.plan import Plan
from gensr.pipeline.request import Request
from gensr.pipeline.settle import settle
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign

FOREIGN = (".pth", ".pt", ".pkl", ".ckpt", ".onnx", ".pt2", ".weights")
"""Endings of weights of other programs, and of our names for folders of them."""
SECONDS = 20
BYTES = 3 << 30
TICK = 200
"""Cases between two lines of progress."""


class HangError(BaseException):
    """The time of a case is over; no ``except Exception`` of a library sees it."""


@dataclass(frozen=True)
class Finding:
    """A file that does not end as it should.

    Attributes:
        key: short name, equal for findings of one place in the code.
        kind: "bug", "lines", "hang", "memory" or "crash".
        text: what was seen.
        name: of the seed.
        seed: of the run.
        number: of the case.
        trace: where.
    """

    key: str
    kind: str
    text: str
    name: str
    seed: int
    number: int
    trace: str = ""


def case(seeds: list[Path], seed: int, number: int) -> tuple[str, bytes, random.Random]:
    """Name, content and further random numbers of a case."""
    rng = random.Random(f"{seed}/{number}")
    path = seeds[rng.randrange(len(seeds))]
    return path.name, mutate(rng, path.name, path.read_bytes()), rng


def attempt(path: Path, folder: Path, answer: bool) -> None:
    """Open and settle a file as the command does, and answer it if asked."""
    if path.suffix in FOREIGN:
        found = read_foreign(path)
        detect(found)
        if answer:
            convert(found, Words("own"), folder / "own.safetensors")
        return
    request = Request(path, factor=2, search="fast", samples=0, output=folder / "out", overwrite=True)
    if path.suffix == ".safetensors":
        picture = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
        request = replace(request, source=picture, generator=str(path))
    with settle(request) as plan:
        if isinstance(plan, Plan):
            plan.expected  # noqa: B018 - worked out when it is asked for
        if answer:
            for _ in plan.run():
                continue


def judge(path: Path, folder: Path, answer: bool) -> tuple[str, str, str] | None:
    """Kind, text and trace of what went wrong with a file; None if it was answered or refused in one line."""
    began = time.monotonic() - _starved()

    def late(number: int, frame: FrameType | None) -> None:
        left = SECONDS + began + _starved() - time.monotonic()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, max(left, SECONDS / 20))
            return
        raise HangError("".join(traceback.format_stack(frame)[-6:]))

    signal.signal(signal.SIGALRM, late)
    _forget_peak()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            attempt(path, folder, answer)
    except HangError as error:
        return "hang", f"longer than {SECONDS} s", str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        text = explain(error)
        if "this is a bug" in text or not isinstance(error, GensrError | OSError | MemoryError):
            return "bug", text, "".join(traceback.format_exception(error))
        if len(str(error).splitlines()) > 1:
            return "lines", str(error), "".join(traceback.format_exception(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    peak = _peak()
    return ("memory", f"{peak >> 20} MiB", "") if peak > BYTES else None


def _starved() -> float:
    """Seconds for which this thread has waited while other programs had the processors; 0 where nothing tells."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Most resident memory since it was last forgotten, bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return 0


def key_of(kind: str, text: str, trace: str) -> str:
    """Equal for findings whose innermost places in gensr are the same."""
    found = re.findall(r'File "([^"]+)", line \d+, in (\S+)', trace)
    own = [f"{Path(file).name}:{function}" for file, function in found if str(ROOT) in file and "/scripts/" not in file]
    own = own or [f"{Path(file).name}:{function}" for file, function in found]
    what = text.split(":")[0] if kind == "bug" else kind
    return f"{kind}-{hashlib.sha256('|'.join([what, *own[-3:]]).encode()).hexdigest()[:10]}"


def cases(
    folder: Path, seed: int, first: int, answer: float, guarded: bool = False, of: str = "*"
) -> Iterator[tuple[int, str, Finding | None]]:
    """Try one case after another.

    Args:
        folder: for seeds and spoilt files.
        seed: of the run.
        first: number of the first case.
        answer: share of the cases that are answered.
        guarded: end this process where a library hangs outside Python, which no signal interrupts.
        of: pattern of the names of the seeds.

    Yields:
        Number, name of the seed, and a finding or None.
    """
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    made = folder / "seeds" / "made"
    if not made.exists():
        make(folder / "seeds")
        made.touch()
    seeds = sorted(p for p in (folder / "seeds").iterdir() if p != made and p.suffix != ".wld" and p.match(of))
    number = first
    while True:
        name, content, rng = case(seeds, seed, number)
        file = folder / name
        file.write_bytes(content)
        path = unpack(file) if name.endswith(SUFFIX) else file
        (folder / "now.json").write_text(json.dumps([number, name]))
        if guarded:
            faulthandler.dump_traceback_later(15 * SECONDS, exit=True)
        found = judge(path, folder, rng.random() < answer)
        if guarded:
            faulthandler.cancel_dump_traceback_later()
        finding = None
        if found is not None:
            kind, text, trace = found
            finding = Finding(key_of(kind, text, trace), kind, text[:300], name, seed, number, trace[-4000:])
        yield number, name, finding
        file.unlink(missing_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        number += 1


def keep(finding: Finding, content: bytes, target: Path) -> bool:
    """Store a finding that is not there yet; True if it is new."""
    place = target / f"{finding.key}-{finding.name}"
    if any(target.glob(f"{finding.key}-*")):
        return False
    target.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.with_name(place.name + ".json").write_text(json.dumps(asdict(finding), indent=1))
    return True


def work(arguments: argparse.Namespace) -> int:
    """The process that opens the files: a line of JSON for every finding, a number now and then."""
    logging.disable(logging.CRITICAL)
    folder, ends = Path(arguments.folder), time.monotonic() + 60 * arguments.minutes
    last = arguments.first + arguments.count
    for number, name, finding in cases(folder, arguments.seed, arguments.first, arguments.answer, True, arguments.of):
        if finding is not None:
            if keep(finding, (folder / name).read_bytes(), Path(arguments.keep)):
                print(json.dumps(asdict(finding)), flush=True)
            else:
                print(json.dumps({"again": finding.key}), flush=True)
        if number + 1 >= last or time.monotonic() > ends:
            print(json.dumps({"done": number + 1}), flush=True)
            return 0
        if number % TICK == TICK - 1:
            print(json.dumps({"tick": number + 1}), flush=True)
    return 0


def watch(arguments: argparse.Namespace) -> int:
    """Start the process that opens files, and start it again behind the case that ended it."""
    ends, started = time.monotonic() + 60 * arguments.minutes, time.monotonic()
    first, tally, new = 0, Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="gensr-fuzz-") as name:
        folder = Path(name)
        while first < arguments.count and time.monotonic() < ends:
            left = ["--minutes", str((ends - time.monotonic()) / 60), "--count", str(arguments.count - first)]
            words = ["--worker", "--first", str(first), "--folder", name, "--seed", str(arguments.seed), *left]
            words += ["--of", arguments.of]
            words += ["--answer", str(arguments.answer), "--keep", arguments.keep]
            command = [sys.executable, str(Path(__file__)), *words]
            environment = {**os.environ, "GENSR_HOME": str(folder / "home"), "PYTHONFAULTHANDLER": "1"}
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    said = json.loads(line)
                    first = said.get("done", said.get("tick", first))
                    if "key" in said:
                        new += 1
                        tally[said["kind"]] += 1
                        print(f"{said['key']}: {said['name']} ({said['number']}): {said['text']}", flush=True)
                    elif "again" in said:
                        tally[said["again"].partition("-")[0]] += 1
                    else:
                        print(
                            f"{first} files, {sum(tally.values())} findings, {time.monotonic() - started:.0f} s",
                            flush=True,
                        )
            if process.returncode == 0:
                break
            number, spoilt = json.loads((folder / "now.json").read_text())
            if not (folder / spoilt).exists():
                raise SystemExit(f"fuzz.py itself failed behind file {number}")
            text = f"the process ended with {process.returncode}"
            finding = Finding(key_of("crash", text, spoilt), "crash", text, spoilt, arguments.seed, number)
            tally["crash"] += 1
            new += keep(finding, (folder / spoilt).read_bytes(), Path(arguments.keep))
            print(f"{finding.key}: {spoilt} ({number}): {text}", flush=True)
            first = number + 1
            for rest in ("out", spoilt.removesuffix(SUFFIX)):
                shutil.rmtree(folder / rest, ignore_errors=True)
    print(
        f"{first} files with seed {arguments.seed}: {dict(tally) or 'no finding'}, {new} new, kept in {arguments.keep}"
    )
    return 1 if tally else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="how long at most")
    parser.add_argument("--count", type=int, default=10**9, help="how many files at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answer", type=float, default=0.1, help="share of the files that are answered")
    parser.add_argument("--of", default="*", help="pattern of the names of the good files, for example *.fits")
    parser.add_argument("--keep", default="fuzz-findings", help="folder for findings")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    return work(arguments) if arguments.worker else watch(arguments)


if __name__ == "__main__":
    sys.exit(main())
