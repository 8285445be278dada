"""What moves around and in the watched code over weeks. Not here: single commits, which are the code desk's."""
