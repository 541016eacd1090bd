"""What of a source is new in a database, what is there, what changes, and what is in conflict."""
