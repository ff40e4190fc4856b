"""What it costs: every figure beside something measured in the same run. `python -m benchmarks` runs them all."""
