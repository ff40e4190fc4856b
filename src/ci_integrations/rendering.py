"""Writes what a model reads of a result. The public face of `results/`; nothing of ours imports it."""

from ci_integrations.results.pictures import ModelImage, images_for_model
from ci_integrations.results.text import render_text

__all__ = ["ModelImage", "images_for_model", "render_text"]
