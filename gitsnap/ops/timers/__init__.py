"""Snapshots that are taken by the clock: by timers of systemd, and by cron where there is none."""
