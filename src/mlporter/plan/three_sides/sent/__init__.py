"""What was last sent, as a planner asks for it and remembers it."""
