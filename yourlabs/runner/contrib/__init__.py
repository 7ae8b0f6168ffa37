"""What the runner does for other packages and services, if a project has them."""
