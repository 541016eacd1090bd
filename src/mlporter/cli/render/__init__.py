"""How results look: pure functions from a result to lines and tables that Rich can print."""
