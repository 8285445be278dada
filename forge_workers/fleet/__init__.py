"""The fleet on a machine without launchd: every row under supervisord, looked after by ``forge``."""
