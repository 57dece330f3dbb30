"""Decoding frames of DICOM in the child process: a file that imports nothing of gensr, see `gensr.scenes.decoder`."""

from __future__ import annotations

import logging
import os
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.utils import pixel_array


def frame(path: str, index: int, syntax: str, whole: bool) -> npt.NDArray[Any]:
    """Stored codes of one frame, as the codec leaves them.

    Args:
        path: of the file.
        index: of the frame, from 0.
        syntax: UID of the transfer syntax, for files that do not say it.
        whole: the data set must be read as a whole, because it is deflated or says no syntax.
    """
    logging.getLogger("pydicom").disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if whole:
            return np.asarray(pixel_array(_dataset(path, os.stat(path).st_mtime_ns, syntax), index=index, raw=True))
        return np.asarray(pixel_array(path, index=index, raw=True))


@lru_cache(maxsize=1)
def _dataset(path: str, changed: int, syntax: str) -> Any:  # noqa: ANN401
    found = pydicom.dcmread(path, force=True)
    if found.file_meta.get("TransferSyntaxUID") is None:
        found.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    return found
