"""What is written to a server, and in what form."""
