"""Forge, a bare redis-py loop and the Python queues, each as the real processes its users run."""
