"""The side that a version is promoted to: its model, alias, stages and receipts."""
