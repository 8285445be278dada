"""The morning briefing: composed from receipts, rendered four ways, delivered once. Not here: any desk's work."""
