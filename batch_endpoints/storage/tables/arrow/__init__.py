"""Arrow files and streams: record batches, and rows within one that is too large to be read at once."""
