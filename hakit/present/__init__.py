"""How events, plans and findings look: terminal and JSON."""
