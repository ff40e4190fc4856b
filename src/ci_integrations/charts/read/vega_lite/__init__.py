"""Reads Vega-Lite specifications, as altair makes them.

A specification says how data become marks, and the browser does the work. Here Python does it: `views` finds panels
and their rows, `transforms`, `units` and `expressions` compute the rows, `channels` reads encodings, `marks` and
`spans` make series. What cannot be computed is noted, and the panel is then not complete.
"""
