"""Searching latents and drawing guided samples: the optimisation core that all generators share."""
