"""`ci-integrations demo`: a scripted agent analyses a CSV file and leaves a report."""
