"""Asking language models: gateway, cache, and the extractive stand-by. Not here: what desks ask."""
