"""The verbs of the command line, a module for each; the rooms are those of `verbs`."""
