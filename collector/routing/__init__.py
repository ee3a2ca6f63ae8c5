"""From link state to decisions: forecasts to paths and sites, with their reasons. Pure logic."""
