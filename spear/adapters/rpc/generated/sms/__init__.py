"""The messages of proto/sms."""
