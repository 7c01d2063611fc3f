"""What the stack costs, in things that can be counted: system calls, wake-ups, passes of the loop,
timers, bytes. A busy machine does not change them, so they can be checked where times cannot.

Each limit stands beside what is usual today; it is there to notice a call for each message, not one
more in a thousand.
"""
