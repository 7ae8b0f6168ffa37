"""What the runner does for other packages: each needs an extra."""
