"""What an import into a server plans before it writes, and once more when it has written."""
