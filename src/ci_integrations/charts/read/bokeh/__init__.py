"""Reads bokeh documents."""
