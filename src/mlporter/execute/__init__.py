"""What was decided, carried out."""
