"""Reads figures from what a kernel sent: our own chart data, E2B's, plotly, Vega-Lite, bokeh. All are untrusted."""
