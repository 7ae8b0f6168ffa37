"""Imported by one view only."""
