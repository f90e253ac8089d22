"""What must not be lost: accepted events between the answer to the client and the collector's receipt."""
