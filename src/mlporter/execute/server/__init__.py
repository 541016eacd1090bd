"""Copying a registry into a tracking server: no transaction, so what is missing is brought over.

The steps, in the order in which MLflow takes them: experiments, runs, logged models (`creating`),
parameters, tags and metrics (`run_contents`), inputs and outputs (`inputs_outputs`), files
(`files`), traces, the registry (`registry`), and deletions last (`finishing`). Each compares
what is to be with what the server has, and asks for nothing but the difference: an import that was
killed goes on where it was, and one that is run again changes nothing.
"""
