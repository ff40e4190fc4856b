"""One session of a code interpreter. May import `results` and the ground; `service.py` alone starts `local/`."""
