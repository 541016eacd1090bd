"""HTML reports: what a verb found, as one page of plain data, and that page as one file."""
