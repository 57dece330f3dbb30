"""First-party generators of gensr, installed as ``gensr.generators``."""

if __name__ != "gensr.generators":
    raise ImportError(f"imported as {__name__!r}; use gensr.generators (pip install -e .)")
