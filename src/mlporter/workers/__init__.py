"""Who does the many small things: threads of this process, its own processes, a Dask cluster."""
