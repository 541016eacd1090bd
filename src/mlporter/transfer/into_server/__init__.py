"""Carrying a registry into a tracking server: no transaction, so what is missing is brought over.

The steps, in the order in which MLflow takes them: experiments, runs, logged models (`making`),
parameters, tags and metrics (`contents`), inputs and outputs (`edges`), files (`files`), traces,
the registry (`registry`), and deletions last (`endings`). Each compares what is to be with what the
server has, and asks for nothing but the difference: an import that was killed goes on where it was,
and one that is run again changes nothing.
"""
