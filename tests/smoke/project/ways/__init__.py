"""The ways in which views say what their parameters mean."""
