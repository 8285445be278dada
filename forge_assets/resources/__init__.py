"""One module per thing that assets share. Not here: anything a desk could be handed as a value."""
