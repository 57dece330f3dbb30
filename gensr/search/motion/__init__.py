"""Motion that nobody measured: spectra of its evidence, paths, fits, and what moved how."""
