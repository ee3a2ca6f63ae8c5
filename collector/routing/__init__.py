"""From snapshots of the links to active routes and answers, with their reasons. Pure logic."""
