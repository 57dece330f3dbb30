"""``gensr train generator=style``: from aligned pictures to a registered weights file with a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.making import inversion
from gensr.making.options import Reader
from gensr.making.telling import Seen, tell, tell_changed
from gensr.priors import weights
from gensr.priors.card import GeneratorCard
from gensr.priors.device import choose_device
from gensr.priors.whitening import measure
from gensr.values.words import AUTO

from . import calibrate
from .bank import bank as made
from .discriminator import Discriminator, widths
from .generator import Parts, Style
from .loop import Budget, Run
from .network import COARSEST, WIDTHS, Network, Shape
from .pictures import FEWEST, Pictures, read

SPREAD = 0.6
HELD = 10
"""Every tenth training picture is held out if no validation pictures are given."""
BIAS = (
    "knows aligned pictures like its training pictures and no others; a super-resolved picture is an invention that "
    "fits the input"
)


@dataclass(frozen=True)
class Settings:
    """Parsed options of a training run; see `StyleFamily.train_options`."""

    domain: str
    data: tuple[Path, ...]
    validation: Path | None
    name: str
    output: Path
    folder: Path
    side: int
    budget: Budget
    spread: float
    device: str
    fallback: str
    licence: str
    source: str
    pixel: str
    bias: str
    seed: int


def parse(options: Mapping[str, str]) -> Settings:
    """Check and convert options.

    Raises:
        UsageError: one is missing, or not a number in range.
    """
    for key in ("domain", "data"):
        if not options.get(key):
            raise UsageError(f"{key}= is missing; try gensr train generator=style domain=faces data=DIR")

    number = Reader(options).value
    sides = tuple(COARSEST << levels for levels in range(2, len(WIDTHS) + 1))
    side = number("side", 64, sides[0], sides[-1])
    if side not in sides:
        raise UsageError(f"side={options['side']}: expected one of {', '.join(map(str, sides))}")
    domain, companion = options["domain"], options.get("companion", "")
    known = sorted(weights.available())
    if companion and companion not in known:
        raise UsageError(f"companion={companion} is not installed; installed: {', '.join(known) or 'none'}")
    name = options.get("name") or f"style-{domain}-own"
    output = Path(options["output"]) if options.get("output") else weights.user_folder()
    budget = Budget(
        steps=int(number("steps", 1e9, 1, 1e9)),
        minutes=number("minutes", 60, 0.01, 1e6),
        batch=int(number("batch", 16, 2, 1024)),
        rate=number("rate", Budget.rate, 1e-6, 0.1),
        penalty=number("penalty", Budget.penalty, 0, 1e3),
        sheet=number("sheet", 10, 0.1, 1e6),
    )
    return Settings(
        domain=domain,
        data=tuple(Path(part) for part in options["data"].split(",") if part),
        validation=Path(options["validation"]) if options.get("validation") else None,
        name=name,
        output=output,
        folder=Path(options["folder"]) if options.get("folder") else output / f"{name}-training",
        side=int(side),
        budget=budget,
        spread=number("spread", SPREAD, 0, 0.99),
        device=choose_device(options.get("device") or AUTO),
        fallback=companion,
        licence=options.get("licence") or "not stated",
        source=options.get("source") or "images of the user",
        pixel=options.get("pixel") or "not stated",
        bias=options.get("bias") or BIAS,
        seed=int(number("seed", 0, 0, 2**31)),
    )


def train(options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
    """Train and write the weights file; returns its path.

    Raises:
        UsageError: impossible options, unsuitable pictures, or a run that diverged.
        FormatError: a damaged training file.
        WeightsError: the folder holds the checkpoint of another network.
    """
    settings = parse(options)
    trained, held = corpora(settings)
    seen = Seen()
    for _ in seen.watch(picture.numpy() for picture in trained.stack):
        pass
    folder = settings.folder
    tell(progress, f"found {seen.words} (reduced), {len(held)} held out; sheets of samples: {folder}/sheet*.png")
    shape = Shape(bands=trained.stack.shape[1], widths=WIDTHS[: (settings.side // COARSEST).bit_length() - 1])
    settings.folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network, opponent = Network(shape), Discriminator(shape.bands, widths(len(shape.widths)))
    run = Run(network, opponent, trained, settings.budget, folder, settings.seed, settings.device, seen.identity)
    if run.resume():
        tell_changed(progress, run.before, seen)
        tell(progress, f"goes on from step {run.step}")
    run(progress)
    settings.output.mkdir(parents=True, exist_ok=True)
    path = settings.output / f"{settings.name}{weights.SUFFIX}"
    tensors, config, card = finished(run, settings, trained.all(), held.all())
    weights.save(path, tensors, config, card)
    return path


def corpora(settings: Settings) -> tuple[Pictures, Pictures]:
    """Pictures to train on, and held-out ones.

    Raises:
        UsageError: see `pictures.read`; or held-out pictures of another kind.
    """
    trained = read(settings.data, settings.domain, settings.side)
    if settings.validation is not None:
        held = read([settings.validation], settings.domain, settings.side, 1, trained.full)
        if held.stack.shape[1] != trained.stack.shape[1]:
            raise UsageError(f"validation={settings.validation}: another number of bands than the training pictures")
        return trained, held
    every, number = trained.all(), torch.arange(len(trained))
    kept = every[number % HELD != HELD - 1]
    if len(kept) < FEWEST:
        raise UsageError(f"data=: {len(trained)} pictures are too few; give 50 or more, best thousands")
    return Pictures(kept), Pictures(every[number % HELD == HELD - 1])


def finished(
    run: Run, settings: Settings, trained: Tensor, held: Tensor
) -> tuple[dict[str, Tensor], dict[str, object], GeneratorCard]:
    """Tensors, configuration and card of a finished run."""
    network = _halved(run.averaged())
    whitening = measure(network.mapping, network.shape.latent)
    bank = made(network, whitening)
    pictures = run.step * settings.budget.batch
    card = GeneratorCard(
        name=settings.name,
        family="style",
        domain=settings.domain,
        bands=network.shape.bands,
        aligned=True,
        side=settings.side,
        unit="share of full scale",
        value_range=(0.0, 1.0),
        pixel=settings.pixel,
        licence=settings.licence,
        data=settings.source,
        split=f"{len(trained)} images of {', '.join(path.name for path in settings.data)}",
        recipe=(
            f"style-based GAN of {sum(p.numel() for p in network.parameters())} parameters at {settings.side} px, "
            f"non-saturating loss, R1 {settings.budget.penalty:g}, adaptive augmentation up to {run.probability:.2f}, "
            f"{run.step} steps of {settings.budget.batch} ({pictures / 1e3:.0f} thousand pictures), averaged weights; "
            f"{run.seconds / 60:.0f} minutes on {_machine(settings.device)}; {_command(settings, run)}"
        ),
        bias=settings.bias,
        audit="not yet audited",
        discrepancy=0.0,
    )
    generator = Style(Parts(network, whitening, bank, settings.spread), card)
    card = replace(
        card,
        audit=calibrate.audit(generator, trained, held),
        discrepancy=round(inversion.discrepancy(generator, held), 4),
    )
    tensors = {f"network.{k}": v.half() for k, v in network.state_dict().items()}
    tensors |= {"whitening.mean": whitening.mean, "whitening.factor": whitening.factor}
    tensors |= {"bank.style": bank.style.half(), "bank.picture": (255 * bank.picture).round().to(torch.uint8)}
    config = network.shape.to_config() | {"spread": settings.spread, "companion": settings.fallback}
    return tensors, config, card


def _halved(network: Network) -> Network:
    """Rounded to what is stored, so that everything is measured of the generator that users get."""
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    return network


def _command(settings: Settings, run: Run) -> str:
    """How to make such a generator again."""
    words = {
        "domain": settings.domain,
        "data": ",".join(path.name for path in settings.data),
        "validation": settings.validation.name if settings.validation else "",
        "side": str(settings.side),
        "minutes": f"{max(1.0, run.seconds / 60):.0f}",
        "companion": settings.fallback,
        "seed": str(settings.seed),
    }
    return "gensr train generator=style " + " ".join(f"{k}={v}" for k, v in words.items() if v)


def _machine(device: str) -> str:
    return "a GPU" if device == "cuda" else f"{torch.get_num_threads()} CPU thread(s)"
