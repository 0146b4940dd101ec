"""What localization and evaluation share: corruption, cases, metrics, tracing, faithfulness."""
