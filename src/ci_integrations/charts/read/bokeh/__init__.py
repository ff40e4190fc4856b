"""Reads bokeh documents.

`document` resolves models and columns, `glyphs` reads one kind of glyph each, `annotations` reads what stands beside
them, and `figure` puts panels together.
"""
