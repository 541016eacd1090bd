"""Backend databases: SQLite and PostgreSQL, read and written as Arrow batches."""
