"""Into a database: in bulk and in one transaction, with files beside it."""
