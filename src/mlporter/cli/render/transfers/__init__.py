"""What a transfer would do, and what it did."""
