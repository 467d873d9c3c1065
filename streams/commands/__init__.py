"""The commands of `fiftytwo`, one module a group.

A module imports only click when it is imported; what a command needs is imported when it runs, so that help is quick.
"""
