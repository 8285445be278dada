"""The machine's health: checks, triage and what the doctor says. Not here: mending anything."""
