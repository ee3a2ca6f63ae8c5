"""MQTT → record: admits reports, has them committed, acknowledges them; and the embedded broker."""
