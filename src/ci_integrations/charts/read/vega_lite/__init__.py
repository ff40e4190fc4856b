"""Reads Vega-Lite specifications."""
