"""The tables themselves, a module for each family."""
