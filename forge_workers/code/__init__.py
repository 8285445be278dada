"""The code desk: commits, security, review and pull requests of the watched repositories."""
