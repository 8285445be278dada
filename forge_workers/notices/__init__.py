"""Notices: what workers tell people in Slack between two briefings, through one door."""
