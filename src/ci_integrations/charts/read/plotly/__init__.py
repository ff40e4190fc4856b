"""Reads plotly figures.

`figure` sorts traces into panels, `traces` reads one type of trace each, `layout` reads axes and titles, and `shapes`
reads lines and bands across the plot.
"""
