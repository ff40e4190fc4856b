"""Reads payloads out of a sandbox as charts, tables and lists of files.

`dispatch` finds the reader for a MIME type. `plotly/`, `vega_lite/` and `bokeh/` read one library each: they make
entries and panel drafts (`entry`), let `combine` decide what several marks mean together, and hand the plain form to
`Chart`. `plain` and `bounds` keep hostile input small and typed. A new kind of trace, mark or glyph belongs into the
folder of its library; a new combination of marks into `combine`.
"""
