"""A program that breaks workers, brokers and the network between them, and counts what was lost, doubled or changed."""
