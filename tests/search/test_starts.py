"""Where a search begins: at a draw, at the centre, at what an encoder says, or at the best of the generator's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gensr.benchmarks.exact import SIDE
from gensr.errors import SearchError, UsageError
from gensr.operators import Area
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Stage
from gensr.priors.observation import Observation
from gensr.search.posterior import method_of
from gensr.search.presets import PRESETS, Preset
from gensr.search.run import PROPOSED, candidates, search
from gensr.search.solvers import solver
from gensr.values.latent import Latents
from gensr.values.random import Stream
from tests.search.conftest import Curved

STILL = replace(PRESETS["balanced"], solver="adam", solver_options={"steps": 0})
"""No step at all: what comes back is where the search began."""
SHAPE = (SIDE, SIDE)


class Starting(Curved):
    """Knows starts and an encoder; coarse stages are area means of its images, and it notes which were asked for."""

    capabilities = frozenset({"starts", "stages", "encode"})

    def __init__(self, card: GeneratorCard) -> None:
        super().__init__(replace(card, discrepancy=0.0))
        self.asked: list[Stage] = []
        numbers = torch.Generator().manual_seed(12)
        self.bank = torch.randn(4 * PROPOSED, 3, 4, generator=numbers, dtype=torch.float64)

    def stages(self, shape: tuple[int, int]) -> tuple[Stage, ...]:
        return (Stage((2, 2), 0.1), Stage((4, 4), 0.3), Stage(SHAPE, 0.9))

    def starts(self, data: Observation, count: int) -> Latents:
        w = self.bank[:count].repeat(len(data.y), 1, 1)
        return {"w": w, "unused": torch.zeros(len(w))}

    def encode(self, data: Observation) -> Latents:
        return {"w": self.bank[-1:].expand(len(data.y), -1, -1), "unused": torch.zeros(len(data.y))}

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        image = super().synthesize(latents, shape)
        if stage is None:
            return image
        self.asked.append(stage)
        return Area(shape[0] // stage.shape[0]).forward(image)


@pytest.fixture
def starting(card: GeneratorCard) -> Starting:
    return Starting(card)


def data_of(generator: Starting, rows: Sequence[int]) -> Observation:
    """Exactly what entries of the bank look like, x2."""
    y = Area(2).forward(generator.synthesize({"w": generator.bank[list(rows)]}, SHAPE))
    return Observation(y, Area(2), torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))


def begun(generator: Starting, data: Observation, preset: Preset, count: int = 1) -> Tensor:
    """Latents (n, count, 3, 4) where candidates began."""
    found = search(generator, data, preset, [Stream(1).child(i) for i in range(len(data.y))], count)
    return found.latents["w"].view(len(data.y), count, 3, 4)


def test_the_best_starts_of_the_generator_are_kept_in_order(starting: Starting) -> None:
    data = data_of(starting, [2, 1])
    first = begun(starting, data, replace(STILL, start="bank"))
    assert torch.equal(first[:, 0], starting.bank[[2, 1]])
    assert starting.asked == [starting.stages(SHAPE)[1]]  # the cheapest that is a multiple of the 4 x 4 data
    both = begun(starting, data, replace(STILL, start="bank"), count=2)
    assert torch.equal(both[:, 0], starting.bank[[2, 1]])
    misfit = Area(2).forward(starting.synthesize({"w": starting.bank[: 2 * PROPOSED]}, SHAPE)) - data.y[:1]
    second = misfit.flatten(1).square().sum(1).argsort()[1]
    assert torch.equal(both[0, 1], starting.bank[second])


def test_pixels_that_are_not_usable_do_not_rank(starting: Starting) -> None:
    data = data_of(starting, [2])
    usable = data.usable.clone()
    usable[..., 0, :] = False
    y = torch.where(usable, data.y, torch.nan)
    assert torch.equal(begun(starting, replace(data, y=y, usable=usable), replace(STILL, start="bank"))[0, 0],
                       starting.bank[2])  # fmt: skip


def test_every_other_start(starting: Starting) -> None:
    data = data_of(starting, [2, 1])
    assert (begun(starting, data, replace(STILL, start="centre")) == 0).all()
    assert torch.equal(begun(starting, data, replace(STILL, start="encoded"))[1, 0], starting.bank[-1])
    drawn = begun(starting, data, replace(STILL, start="prior"))
    keys = [Stream(1).child(i).child("candidate", 0) for i in range(2)]
    assert torch.equal(drawn[:, 0], starting.latents(SHAPE).sample(keys)["w"].to(drawn))


def test_the_solver_says_where_it_likes_to_begin_and_the_user_overrules_it(starting: Starting) -> None:
    data = data_of(starting, [2])
    assert solver("adam", {}).start == "bank"
    assert torch.equal(begun(starting, data, STILL)[0, 0], starting.bank[2])
    assert solver("pulse", {}).start == "prior"
    still = replace(STILL, solver="pulse")
    assert not (begun(starting, data, still)[0, 0] == starting.bank[2]).any()
    assert torch.equal(begun(starting, data, replace(still, start="bank"))[0, 0], starting.bank[2])


def test_a_start_that_a_generator_does_not_have(curved: Curved, observed: Observation) -> None:
    with pytest.raises(SearchError, match=r"search\.start=bank: curved has none; it can start from prior, centre$"):
        search(curved, observed, replace(STILL, start="bank"), [Stream(i) for i in range(4)], 1)
    found = search(curved, observed, STILL, [Stream(i) for i in range(4)], 1)  # the solver's wish gives way
    assert (found.latents["w"] == 0).all()


@pytest.mark.parametrize("name", PRESETS)
def test_a_decoder_without_anything_else_is_searched(curved: Curved, observed: Observation, name: str) -> None:
    chosen = replace(PRESETS[name], solver_options={"steps": 5})
    assert method_of(curved, observed.operator, chosen).words == ("latent search", "latent search")
    found = candidates(curved, observed, chosen, [Stream(i) for i in range(4)], 2)
    assert found.best.shape == (4, 1, SIDE, SIDE)
    assert len(found.others) == 2


def test_numbers_of_a_solver_act_or_are_refused() -> None:
    assert solver("adam", {"rate": 0.3}).rate == 0.3
    with pytest.raises(UsageError, match=r"search\.rte: the solver adam has no such number.*rate.*it has steps, rate"):
        solver("adam", {"rte": 0.3})
    expected = r"solver 'adma' is unknown.*adam.*expected adam, closed-form, evolution, gauss-newton"
    with pytest.raises(UsageError, match=expected):
        solver("adma", {})
