"""What the one who is paged sees: log lines, metrics, and the redactor that both go through."""
