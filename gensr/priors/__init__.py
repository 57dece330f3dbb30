"""What a plug-in of a generator brings: its contract, card and weights."""
