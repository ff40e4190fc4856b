"""Answers questions about files: the rules that the query engine, the workflow and the component share."""
