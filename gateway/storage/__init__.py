"""What the durable stores share: how a file of SQLite is opened, written and explained, and how many writes become one."""
