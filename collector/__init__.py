"""What runs once: takes reports in, commits them to the journal, answers questions, writes InfluxDB."""
