"""Keep a run harmless: nothing leaves the process, nothing stays."""
