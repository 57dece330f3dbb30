"""Settings of every test: the same examples on every run, and no time limits that a busy machine would break."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("gensr", deadline=None, derandomize=True)
settings.load_profile("gensr")


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    """Tests that draw without a generator of their own draw the same numbers in any order and process."""
    torch.manual_seed(0)
