"""Writes a figure in other forms: words, tables, Vega-Lite, plotly and one neutral object.

Every module takes a `Figure` from `charts/model.py` and returns plain Python values. No module here imports
`charts/chart.py`: `Chart` calls them, so an import in the other direction is a circle.
"""
