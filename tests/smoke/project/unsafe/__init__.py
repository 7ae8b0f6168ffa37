"""A project written to try the smoke tests on."""
