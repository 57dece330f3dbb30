"""First-party domains of gensr, installed as ``gensr.domains``."""

if __name__ != "gensr.domains":
    raise ImportError(f"imported as {__name__!r}; use gensr.domains (pip install -e .)")
