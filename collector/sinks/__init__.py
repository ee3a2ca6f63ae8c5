"""record → InfluxDB: follows the journal with a stored cursor."""
