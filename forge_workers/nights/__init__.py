"""The nights as a row of days: which were asked for, which are missing, what is done about it."""
