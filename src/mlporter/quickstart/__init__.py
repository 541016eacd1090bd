"""The quickstart scripts as `mlporter demo` calls them, so that it works from a bare install.

`samples/quickstart` holds identical copies for people to read, run and change; a test keeps the two
equal. The scripts know nothing of mlporter: they are what a data scientist would write.
"""
