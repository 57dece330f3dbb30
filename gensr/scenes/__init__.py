"""What a plug-in of a domain brings: opened inputs, their physics, and the way back to files."""
