"""Hosts to practise on, made from the inventory they serve."""
