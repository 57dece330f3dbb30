"""What everything is made of: grids, images, noise, scales, random streams, latents."""
