"""Independent readers for written files: each compares an input with its output and fills a row of a table."""
