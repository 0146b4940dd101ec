"""The job engine on DBOS: submit, cancel, progress, the supervisor of a device, the reaper. No torch."""
