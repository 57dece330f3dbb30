"""gensr: generative super-resolution for scientific imagery.

It returns the posterior of the high-resolution images that explain a low-resolution one: mean, standard deviation,
samples, the residual in units of the noise, and metadata that is exactly right.

>>> import gensr
>>> result = gensr.upsample("nuclei.tif", factor=4)  # doctest: +SKIP
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gensr.errors import GensrError
    from gensr.pipeline.api import open, upsample
    from gensr.pipeline.request import Request
    from gensr.pipeline.result import Result
    from gensr.pipeline.settle import settle
    from gensr.scenes.scene import Scene

__all__ = ["GensrError", "Request", "Result", "Scene", "open", "settle", "upsample"]

_HOMES = {
    "GensrError": "errors",
    "Request": "pipeline.request",
    "Result": "pipeline.result",
    "Scene": "scenes.scene",
    "open": "pipeline.api",
    "settle": "pipeline.settle",
    "upsample": "pipeline.api",
}
_MOVED = {
    "gensr.domain": ("gensr.scenes.domain", "gensr.scenes.scene", "gensr.scenes.product", "gensr.scenes.names"),
    "gensr.generator": ("gensr.priors.generator", "gensr.priors.card", "gensr.priors.observation"),
    "gensr.testing": ("gensr.scenes.testing",),
}
"""Modules that plug-ins imported up to version 0.2, and where their names are now. They go with version 0.4."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Load the public names on first use, so that the command line starts fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gensr' has no attribute {name!r}")
    return getattr(import_module(f"gensr.{_HOMES[name]}"), name)


class _Moved(MetaPathFinder, Loader):
    """Finds the modules of `_MOVED`: each holds the names of the modules that took its place."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a module that moved, None for any other."""
        return ModuleSpec(fullname, self) if fullname in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module and say where its names are now."""
        homes = _MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is now {', '.join(homes)}", DeprecationWarning, stacklevel=2)
        for home in homes:
            module.__dict__.update({k: v for k, v in vars(import_module(home)).items() if not k.startswith("__")})


sys.meta_path.append(_Moved())
