"""Tables as Parquet parts, and what the format says of their rows."""
