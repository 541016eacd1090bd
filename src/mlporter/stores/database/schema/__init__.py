"""Which tables a database has, of which revision, and how they are made."""
