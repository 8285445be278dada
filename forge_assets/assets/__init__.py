"""One module per desk; each asset builds a request from the night and hands it to the desk's function."""
