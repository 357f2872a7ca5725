"""Optional pokes and exports. Each needs a library of its own and is off until it is named.

`celery` and `tasks` are queues. A queue only ever carries pokes ("look at the ledger"): what is
to be done stands in the ledger, so a message that is lost, late or doubled does no harm.
"""
