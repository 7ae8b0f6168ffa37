"""Settings and rows for real projects of other people."""
