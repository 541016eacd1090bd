"""MLflow's own UI over any place, to look and not to touch.

A scratch database is made of the rows, and files are served from where they are. MLflow's server
runs on both, in a process of its own, behind a gate that lets nothing through that writes.
"""
