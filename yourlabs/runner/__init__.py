"""Run chains of plain functions for ever, with a cooldown after each."""
