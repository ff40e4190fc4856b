"""Reads plotly figures."""
