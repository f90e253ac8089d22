"""Events that wait for a person: those held on the way in, and those that the collector would not take."""
