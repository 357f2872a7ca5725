"""Optional integrations. Each needs a library of its own and is off until it is installed.

The queues (`celery`, `tasks`) only carry wake-up calls. The work itself is listed in the ledger,
so a message that is lost, late or doubled does no harm.
"""
