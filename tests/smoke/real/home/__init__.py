"""An app with a kind of page."""
