"""Checkpoints of other programs: readers that execute nothing, and the contract of what turns them into our weights."""
