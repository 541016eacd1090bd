"""What SQLite, PostgreSQL and MySQL each do in their own way."""
