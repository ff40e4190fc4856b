"""Data for the demo, the notebooks and the tests. Public domain; README.md says where it comes from."""
