"""Which cell runs where: the plan, slots on devices, worker processes, and the one writer of the database.

The runner itself never imports torch: workers are processes of their own.
"""
