"""What other programs measured and configured, as our reports and our mesh; and the record as files for others."""
