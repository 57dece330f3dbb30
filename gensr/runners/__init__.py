"""Where tiles run: in this process, or on a Dask cluster."""
