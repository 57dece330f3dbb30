"""Hydra configuration of gensr: one primary config per command (``pkg://gensr.conf``)."""
