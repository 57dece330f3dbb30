"""Shipped generators: one .safetensors file and one card (.md) each."""
