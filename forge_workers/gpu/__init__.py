"""The GPU: who may use it now. Not here: which model runs on it, which is the models' matter."""
