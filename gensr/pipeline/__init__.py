"""From a request to written files: settle, tiles, reconstruction, store, report."""
