"""Where the objects of a repository or a bundle lie: a folder, or object storage."""
