"""What people do with the log: read it, judge the model by it, keep it lawful, replay it.

Commands of `tabserve` and what they compute. Everything here reaches the log through
`bentos.records` alone, and none of it runs inside a worker.
"""
