"""Views that reach for everything around a project, one way each."""
