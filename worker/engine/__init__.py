"""The job engine on DBOS: submit, cancel, progress, supervise a device, reap. No torch."""
