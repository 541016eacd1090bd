"""What is new, what is there, what is in conflict: decided before anything is written."""
