"""Record → elsewhere: an exporter for each configured sink follows the journal, and the sinks that come with us."""
