"""gensr: generative super-resolution for scientific imagery.

It returns the posterior of the high-resolution images that explain a low-resolution one: mean, standard deviation,
samples, the residual in units of the noise, and metadata that is exactly right.

>>> import gensr
>>> result = gensr.upsample("nuclei.tif", factor=4)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gensr.errors import GensrError
    from gensr.pipeline.api import open, upsample
    from gensr.pipeline.result import Result
    from gensr.scenes.scene import Scene

__all__ = ["GensrError", "Result", "Scene", "open", "upsample"]

_HOMES = {
    "GensrError": "errors",
    "Result": "pipeline.result",
    "Scene": "scenes.domain",
    "open": "pipeline.api",
    "upsample": "pipeline.api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Load the public names on first use, so that the command line starts fast."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'gensr' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gensr.{_HOMES[name]}"), name)
