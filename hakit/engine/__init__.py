"""Graph, plan, apply, rolling order, events, run records."""
