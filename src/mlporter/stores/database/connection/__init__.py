"""One connection to a database, speaking Arrow, and what may go wrong on it."""
