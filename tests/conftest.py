"""Settings of every test: the same examples on every run, and no time limits that a busy machine would break."""

from hypothesis import settings

settings.register_profile("gensr", deadline=None, derandomize=True)
settings.load_profile("gensr")
