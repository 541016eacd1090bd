"""What the tests stand on: registries made with MLflow itself, and engines to keep them in.

Nothing here uses mlporter, so that what mlporter does can be judged by it.
"""
