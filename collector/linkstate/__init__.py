"""The state of links and sites now: windows of rows, forecasts, snapshots. Pure."""
