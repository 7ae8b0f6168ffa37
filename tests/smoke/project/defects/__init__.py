"""One defect of each kind, each beside a healthy neighbour."""
