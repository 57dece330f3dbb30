"""What becomes of a run when the machine fails it?

    python scripts/faults.py --count 200 --seed 0

draws faults with a fixed seed, does each to a run of a small file, and then runs the same command with ``resume=true``.
A fault ends well if the disturbed run ends in the right bytes or in clear lines, if nothing half written stands under
a final name, and if the run that goes on ends in the bytes of an undisturbed run. Whatever does not is printed with the
number that ``--only`` repeats it with.

Every run is a fork of one process that has imported everything, so a fault takes a second or two.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from fault_kinds import EVERY, KINDS, RARE
from fault_runs import CASES, Run, Trial, cases

TIMES = ("seconds", "megapixels per second")
"""Entries of a report that differ between equal runs."""


def contents(folder: Path) -> dict[str, Any]:
    """Everything under a final name, without what the clock said."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name.startswith((".", "summary.")) or name == "run.yaml":
            continue
        data: Any = path.read_bytes()
        if name.endswith("_report.json"):
            page = json.loads(data)
            data = {key: value for key, value in page.items() if key not in TIMES}
        found[name] = data
    return found


class Campaign:
    """Faults drawn with a seed, and what became of them."""

    def __init__(self, folder: Path, asked: argparse.Namespace) -> None:
        self.folder, self.seed, self.kinds = folder, asked.seed, asked.kinds
        self.each, self.forget = asked.each, asked.forget
        self.whole: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.cases = [case for case in cases(folder) if case.name in asked.cases]
        for case in self.cases:
            out = folder / "whole" / case.name
            for _ in range(2):  # the second one has everything in the caches of the machine
                shutil.rmtree(out, ignore_errors=True)
                run = Run(case.command(out))
                if run.wait() != 0:
                    raise SystemExit(f"the undisturbed run of {case.name} fails: {run.said}")
                self.seconds[case.name] = time.monotonic() - run.started
            self.whole[case.name] = contents(out)

    def fault(self, number: int) -> tuple[str, Trial]:
        """Do fault ``number``."""
        draw = random.Random(f"{self.seed} {number}")
        often = [KINDS[name][1] for name in self.kinds]
        rare = RARE in self.kinds and (number % EVERY == EVERY - 1 or not any(often))
        name = RARE if rare else draw.choices(self.kinds, often)[0]
        name = self.kinds[number % len(self.kinds)] if self.each else name
        case = draw.choice(self.cases)
        out = self.folder / f"fault{number}" / "out"
        out.parent.mkdir()
        trial = Trial(case, out, draw, self.seconds[case.name])
        KINDS[name][0](trial)
        whole = self.whole[case.name]
        for path, data in contents(out).items():
            if whole.get(path) != data:
                trial.wrong.append(f"{path} is not what it should be after the fault")
        self._resumed(trial, whole)
        if not trial.wrong:
            shutil.rmtree(out.parent)
        return name, trial

    def _resumed(self, trial: Trial, whole: dict[str, Any]) -> None:
        """The same command with ``resume=true`` ends in the bytes of the undisturbed run, and leaves nothing else."""
        run = trial.start("resume=true", *(["seed=1"] if self.forget else []))
        if run.wait() != 0:
            trial.wrong.append(f"cannot be gone on with ({run.code}): {run.said[-400:]}")
            return
        if contents(trial.out) != whole:
            missing = sorted(whole.keys() ^ contents(trial.out).keys())
            trial.wrong.append(f"other bytes after going on; {missing}")
        left = [path.name for path in trial.out.iterdir() if path.name.startswith(".")]
        if left:
            trial.wrong.append(f"left behind: {left}")


def main() -> int:
    """Run the faults that are asked for; 1 if one ended wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=60, help="faults")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--only", type=int, help="repeat one fault")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--each", action="store_true", help="kinds in turn instead of at random")
    parser.add_argument("--forget", action="store_true", help="go on with another seed, which must end wrong")
    asked = parser.parse_args()
    for name, known in (("kinds", tuple(KINDS)), ("cases", CASES)):
        words = [word.strip() for word in getattr(asked, name).split(",")]
        if not set(words) <= set(known):
            parser.error(f"{name} are {', '.join(known)}")
        setattr(asked, name, words)
    torch.set_num_threads(1)
    started, bad = time.monotonic(), 0
    table: Counter[tuple[str, str]] = Counter()
    folder = Path(tempfile.mkdtemp(prefix="gensr-faults-"))
    try:
        campaign = Campaign(folder, asked)
        for number in range(asked.count) if asked.only is None else [asked.only]:
            name, trial = campaign.fault(number)
            table[name, "WRONG" if trial.wrong else trial.ended] += 1
            bad += bool(trial.wrong)
            for text in trial.wrong:
                print(f"fault {number} ({name}, {trial.case.name}): {text}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name in KINDS:
        ends = {end: count for (kind, end), count in sorted(table.items()) if kind == name}
        if ends:
            print(f"{name:<11} {sum(ends.values()):4} {', '.join(f'{end} {n}' for end, n in ends.items())}")
    print(f"{sum(table.values())} faults, {bad} ended wrong, {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
