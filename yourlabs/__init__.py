"""Tools for Django projects: continuous functions, smoke tests, settings."""
