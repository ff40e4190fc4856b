"""Writes a figure in other forms: words, tables, Vega-Lite, plotly. Takes a Figure, never imports `chart.py`."""
