"""Source, target, and what was last sent: who changed what, and what is done about it."""
